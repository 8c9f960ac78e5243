"""LangChain's standard integration tests, on cassettes recorded against the emulator."""

from __future__ import annotations

import base64
import itertools
import uuid

import httpx
import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.testing.emulator import _replies

PIXEL = base64.b64decode(_replies.PIXEL.partition(",")[2])


@pytest.mark.openrouter
class TestChatOpenRouter(ChatModelIntegrationTests):
    """All of them that apply."""

    @pytest.fixture(autouse=True)
    def _media(self, monkeypatch):
        """Give the tests that would load a picture, a sound or a PDF from the web one of ours."""
        monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "none: nothing is loaded")
        monkeypatch.setattr("httpx.get", lambda *_, **__: httpx.Response(200, content=PIXEL))

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
    supported_usage_metadata_details = {"invoke": [], "stream": []}  # noqa: RUF012 - as the parent has it
