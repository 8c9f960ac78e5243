"""LangChain's standard integration tests, on cassettes recorded against the emulator."""

from __future__ import annotations

import base64
import io
import itertools
import json
import uuid
import wave
from dataclasses import replace
from functools import reduce
from operator import add

import httpx
import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.testing.emulator import _replies
from langchain_openrouter.testing.emulator._default_replies import default_reply
from langchain_openrouter.testing.emulator._responses_requests import parse_responses_request

PIXEL = base64.b64decode(_replies.PIXEL.partition(",")[2])


def make_pdf() -> bytes:
    """Return a document of one page, with its table of objects."""
    text = b"BT /F1 24 Tf 72 720 Td (Dummy PDF file) Tj ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources 6 0 R>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(text), text),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        b"<</Font<</F1 5 0 R>>>>",
    ]
    document, table = b"%PDF-1.4\n", b"0000000000 65535 f \n"
    for number, content in enumerate(objects, start=1):
        table += b"%010d 00000 n \n" % len(document)
        document += b"%d 0 obj\n%s\nendobj\n" % (number, content)

    end = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (7, len(document))
    return document + b"xref\n0 7\n" + table + end


def make_wav() -> bytes:
    """Return a tenth of a second of a tone."""
    with io.BytesIO() as file:
        with wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(
                b"".join(n.to_bytes(2, "little") for n in (0, 8000, 16000, 8000)) * 200
            )
        return file.getvalue()


MEDIA = {"pdf": make_pdf(), "wav": make_wav()}


def count_details(asked):
    """Answer by default, with the details of the usage that the request calls for."""
    body = json.dumps(asked.body)
    is_chat = asked.path == "/chat/completions"
    reply = default_reply(asked.body if is_chat else parse_responses_request(asked.body))
    prompt, completion = {}, {}
    if "input_audio" in body:
        prompt["audio_tokens"] = 5
    if "cache_control" in body or "prompt_cache_breakpoint" in body:
        is_first = body.count('"user"') == 1
        prompt["cache_write_tokens" if is_first else "cached_tokens"] = 12
    if "modalities" in asked.body:
        completion["audio_tokens"] = 1
    if asked.body.get("reasoning"):
        completion["reasoning_tokens"] = 1
    if not (prompt or completion):
        return reply

    usage = {"prompt_tokens_details": prompt, "completion_tokens_details": completion}
    return replace(reply, usage=usage)


@pytest.mark.openrouter(script=count_details)
class TestChatOpenRouter(ChatModelIntegrationTests):
    """All of them that apply."""

    @pytest.fixture(autouse=True)
    def _media(self, monkeypatch):
        """Give the tests that would load a picture, a sound or a PDF from the web one of ours."""
        monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "none: nothing is loaded")
        monkeypatch.setattr(
            "httpx.get",
            lambda url, **_: httpx.Response(200, content=MEDIA.get(url.rpartition(".")[2], PIXEL)),
        )

    @pytest.fixture(autouse=True)
    def _ids(self, monkeypatch, request):
        """Make LangChain's made-up ids of example calls the same each time."""
        if request.node.name == "test_structured_few_shot_examples":
            ids = itertools.count()
            monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID(int=next(ids)))

    @property
    def chat_model_class(self):
        """The class under test."""
        return ChatOpenRouter

    @property
    def chat_model_params(self):
        """How it is made: key and address come from the plugin."""
        return {"model": "anthropic/claude-sonnet-4.6"}

    supports_image_inputs = True
    supports_image_urls = True
    supports_image_tool_message = True
    supports_pdf_inputs = True
    supports_pdf_tool_message = True
    supports_audio_inputs = True
    supports_video_inputs = True
    supports_json_mode = True
    supports_anthropic_inputs = True
    model_override_value = "openai/gpt-4o-mini"
    returns_usage_metadata = True
    enable_vcr_tests = False

    @property
    def supported_usage_metadata_details(self):
        """All that there are."""
        names = ["audio_input", "audio_output", "reasoning_output"]
        names += ["cache_read_input", "cache_creation_input"]
        return {"invoke": names, "stream": names}

    def invoke_with_audio_input(self, *, stream=False):
        """Send a sound."""
        sound = base64.b64encode(MEDIA["wav"]).decode()
        block = {"type": "audio", "mime_type": "audio/wav", "base64": sound}
        message = ask(self, [HumanMessage(["What is this?", block])], stream=stream)
        assert message.usage_metadata["input_token_details"]["audio"] == 5
        return message

    def invoke_with_audio_output(self, *, stream=False):
        """Request speech."""
        audio = {"voice": "alloy", "format": "pcm16"}
        fields = {"modalities": ["text", "audio"], "audio": audio}
        message = ask(self, "Say hello.", stream=stream, **fields)
        assert message.usage_metadata["output_token_details"]["audio"] == 1
        return message

    def invoke_with_reasoning_output(self, *, stream=False):
        """Request reasoning."""
        message = ask(self, "1 + 1?", stream=stream, reasoning={"effort": "low"})
        assert message.usage_metadata["output_token_details"]["reasoning"] == 1
        return message

    def invoke_with_cache_creation_input(self, *, stream=False):
        """Mark a prompt to be cached."""
        message = ask(self, [CACHED, HumanMessage("Hello")], stream=stream)
        assert message.usage_metadata["input_token_details"]["cache_creation"] == 12
        return message

    def invoke_with_cache_read_input(self, *, stream=False):
        """Send a cached prompt once more."""
        first = self.invoke_with_cache_creation_input(stream=stream)
        thread = [CACHED, HumanMessage("Hello"), first, HumanMessage("And now?")]
        message = ask(self, thread, stream=stream)
        assert message.usage_metadata["input_token_details"]["cache_read"] == 12
        return message


# Of names of messages and of marks on images.
@pytest.mark.filterwarnings("ignore:content of messages is not sent")
@pytest.mark.openrouter(script=count_details)
class TestResponses(TestChatOpenRouter):
    """The same with the other endpoint, which has no audio to give."""

    @property
    def chat_model_params(self):
        """How it is made."""
        return {**super().chat_model_params, "use_responses_api": True}

    @property
    def supported_usage_metadata_details(self):
        """All but audio that is output."""
        details = super().supported_usage_metadata_details
        names = [name for name in details["invoke"] if name != "audio_output"]
        return {"invoke": names, "stream": names}


CACHED = SystemMessage(
    [{"type": "text", "text": "Answer briefly. " * 20, "cache_control": {"type": "ephemeral"}}]
)


def ask(test, messages, *, stream, **fields):
    """Send messages, whole or streamed; return the message."""
    model = test.chat_model_class(**test.chat_model_params, **fields)
    return reduce(add, model.stream(messages)) if stream else model.invoke(messages)
