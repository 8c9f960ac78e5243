"""What a model or a service writes to do harm: nesting, huge numbers, escapes, repetition."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from functools import reduce
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks
from pydantic import BaseModel

from langchain_openrouter import errors
from langchain_openrouter._http.error_mapping import error_from_response
from langchain_openrouter._redaction import printable, redact
from tests.support.loopback import Reply, event, stream, whole

ESCAPES = (
    "\x1b[31mred\x1b[0m \x1b]0;title\x07\x9b2J \u202egnp.exe\u2066 a\r\nFORGED line\u2028x\x00"
)
DEEP = {
    "arrays, 4 KB": "[" * 4_000,
    "arrays, 1 MB": "[" * 1_000_000,
    "an object of arrays": '{"a":' + "[" * 2_000 + "]" * 2_000 + "}",
    "objects": '{"a":' * 900 + "1" + "}" * 900,
    "objects, 1 MB": '{"a":' * 200_000 + "1" + "}" * 200_000,
    "behind half of a surrogate pair": '{"x":"\\ud800","a":' + "[" * 2_000 + "]" * 2_000 + "}",
    "a huge number": '{"a":' + "9" * 5_000 + "}",
}


class Answer(BaseModel):
    """An answer."""

    a: object


def fragments(text, *, size):
    """Return the deltas of one call, its arguments cut into pieces of this size."""
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    first = {"index": 0, "id": "c", "type": "function",
             "function": {"name": "Answer", "arguments": ""}}  # fmt: skip
    calls = [first, *({"index": 0, "function": {"arguments": piece}} for piece in pieces)]
    return [{"tool_calls": [call]} for call in calls]


def tool_reply(text, *, streamed):
    """Return the reply that calls a tool with these arguments."""
    if streamed:
        return stream(*fragments(text, size=max(200, len(text) // 40)), reason="tool_calls")
    call = {"id": "c", "type": "function", "function": {"name": "Answer", "arguments": text}}
    return Reply(whole("", message={"tool_calls": [call]}))


def ask(model, *, mode):
    """Return the answer, a stream summed one chunk at a time or all at once."""
    question = [HumanMessage("What?")]
    if mode == "invoke":
        return model.invoke(question)
    if mode == "sum":
        return reduce(add, model.stream(question))
    chunks = list(model._stream(question))
    return merge_chat_generation_chunks(chunks).message


@pytest.mark.parametrize("mode", ["invoke", "sum", "merge"])
@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP.keys())
def test_arguments_nested_without_end_are_an_invalid_call(text, mode, serve, model_on):
    """The call is invalid, its text is kept and returns in the next turn as it came."""
    model = model_on(serve(tool_reply(text, streamed=mode != "invoke")), timeout=30)

    answer = ask(model, mode=mode)

    assert answer.tool_calls == []
    (call,) = answer.invalid_tool_calls
    assert (call["name"], call["id"], call["args"]) == ("Answer", "c", text)
    sent = model._get_request_payload([HumanMessage("What?"), answer, HumanMessage("Go on.")])
    assert sent["messages"][1]["tool_calls"][0]["function"]["arguments"] == text


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
@pytest.mark.parametrize("schema", [Answer, Answer.model_json_schema()], ids=["class", "dict"])
@pytest.mark.parametrize("mode", ["invoke", "stream", "astream"])
@pytest.mark.parametrize("kind", ["arrays, 4 KB", "objects"])
def test_a_structured_answer_nested_without_end_is_a_parsing_error(
    kind, mode, schema, method, serve, model_on
):
    """Whole and streamed, as text and as a call, it raises OutputParserException."""
    text = DEEP[kind]
    reply = tool_reply(text, streamed=mode != "invoke")
    if method != "function_calling":
        pieces = [text[i : i + 100] for i in range(0, len(text), 100)]
        reply = Reply(whole(text)) if mode == "invoke" else stream(*pieces)
    model = model_on(serve(reply)).with_structured_output(schema, method=method)

    async def run():
        return [part async for part in model.astream("What?")]

    modes = {
        "invoke": lambda: model.invoke("What?"),
        "stream": lambda: list(model.stream("What?")),
        "astream": lambda: asyncio.run(run()),
    }
    with pytest.raises(OutputParserException):
        modes[mode]()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "field", ["usage", "provider", "choices", "error", "unknown", "message", "metadata.raw"]
)
def test_bodies_nested_without_end_are_typed_errors(field, streamed, serve, model_on):
    """Nesting anywhere in a body or an event ends in an error of this package."""
    nested = "[" * 100_000 + "]" * 100_000
    marker = '"NESTED"'
    body = event({"content": "x"}) if streamed else whole("x")
    if field == "message":
        body["choices"][0]["delta" if streamed else "message"]["content"] = "NESTED"
    elif field == "metadata.raw":
        nested = json.dumps(nested)
        body = {"error": {"code": 400, "message": "", "metadata": {"raw": "NESTED"}}}
    else:
        body[field] = "NESTED"
    text = json.dumps(body).replace(marker, nested)
    reply = Reply(text)
    if streamed:
        reply = Reply(f"data: {text}\n\n", content_type="text/event-stream")
    model = model_on(serve(reply))

    with pytest.raises(errors.ResponseError) as caught:
        list(model.stream("What?")) if streamed else model.invoke("What?")

    assert len(str(caught.value)) < 1_000


def test_what_is_accepted_can_be_copied_and_dumped(serve, model_on):
    """150 levels in the usage and in fields nobody knows survive copies, dumps and sums."""
    nested = json.loads('{"a":' * 150 + "1" + "}" * 150)
    model = model_on(
        serve(Reply(whole("x", usage={"prompt_tokens": 1, "deep": nested}, new=nested)))
    )

    answer = model.invoke("What?")

    assert answer.response_metadata["new"] == nested
    assert answer.model_copy(deep=True) == answer
    assert AIMessage.model_validate_json(answer.model_dump_json()) == answer


def test_deep_arguments_of_ones_own_are_refused_by_name(serve, model_on):
    """Arguments in a history that cannot be serialized raise a ValueError that says so."""
    args = value = {}
    for _ in range(100_000):
        value["a"] = value = {}
    call = {"name": "f", "args": {}, "id": "c"}
    answer = AIMessage("", tool_calls=[call])
    answer.tool_calls[0]["args"] = args

    with pytest.raises(ValueError, match="the arguments of a tool call cannot be sent"):
        model_on(serve(Reply()))._get_request_payload([HumanMessage("What?"), answer])
    while args:  # a deep dict is released level by level
        args = args.pop("a")


@pytest.mark.parametrize("code", ["9" * 5_000, '"' + "9" * 5_000 + '"', "1e999", "-1", "NaN"])
@pytest.mark.parametrize("streamed", [False, True])
def test_an_error_code_of_thousands_of_digits_is_a_typed_error(code, streamed, serve, model_on):
    """The HTTP status, or none, stands in for a code that is no status; the message is read."""
    text = json.dumps({"error": {"code": 1, "message": "Out of order."}}).replace(
        ": 1,", f": {code},"
    )
    reply = Reply(text, status=429)
    if streamed:
        reply = Reply(f"data: {text}\n\n", content_type="text/event-stream")

    with pytest.raises(errors.ResponseError, match=r"Out of order\.") as caught:
        list(model_on(serve(reply)).stream("What?"))

    assert caught.value.code == (None if streamed else 429)


@pytest.mark.parametrize(
    "value",
    ["Fri, 31 Dec 99999 23:59:59 GMT", "Fri, 99 Foo 2020 99:99:99 GMT", "9" * 5_000, "inf", "nan",
     "-5", "Fri, 31 Dec 2020 23:59:59 +999999999999", "1e308", "Fri, 31 Feb 2031 25:61:61 GMT", ","],
)  # fmt: skip
@pytest.mark.parametrize("retries", [0, 1])
def test_an_impossible_retry_after_is_no_failure(value, retries, serve, model_on):
    """Dates that no calendar has and numbers beyond reason are left out, or read as now."""
    replies = [Reply({"error": {"code": 429, "message": "x"}}, 429, {"retry-after": value})] * 2
    model = model_on(serve(lambda _: replies.pop()), max_retries=retries)

    with pytest.raises(errors.RateLimitError) as caught:
        model.invoke("What?")

    wait = caught.value.retry_after
    assert wait is None or 0 <= wait < 400 * 86_400


@given(
    st.text(max_size=60)
    | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [+-]?\d+", fullmatch=True)
)
def test_no_retry_after_raises(value):
    """Whatever the header holds, it is seconds or nothing."""
    error_from_response({"error": {"code": 429}}, headers={"retry-after": value})


@pytest.mark.parametrize("wait", ["9" * 400, "-1", "1e400", '"soon"', "true"])
def test_an_impossible_wait_in_the_body_is_no_failure(wait, serve, model_on):
    """A number that is no wait is left out of the message and of the error."""
    error = {"code": 429, "message": "x", "metadata": {"retry_after": "WAIT"}}
    body = json.dumps({"error": error}).replace('"WAIT"', wait)

    with pytest.raises(errors.RateLimitError) as caught:
        model_on(serve(Reply(body, status=429))).invoke("What?")

    assert caught.value.retry_after in {None, 0}


# --- messages ---------------------------------------------------------------------------------


def is_one_plain_line(text):
    """Tell whether a text can forge no log line and drive no terminal."""
    return all(character.isprintable() for character in text)


@pytest.mark.parametrize("place", ["message", "object", "raw", "provider", "text", "code"])
@pytest.mark.parametrize("streamed", [False, True])
def test_messages_are_one_line_without_escapes(place, streamed, serve, model_on):
    """Line ends, terminal escapes and bidirectional overrides of the service are left out."""
    error = {"code": 400, "message": "It is broken."}
    if place == "message":
        error["message"] = ESCAPES
    elif place == "object":
        error["message"] = {"detail": ESCAPES}
    elif place == "raw":
        error.update(message="", metadata={"raw": json.dumps({"message": ESCAPES})})
    elif place == "code":
        error["metadata"] = {"error_type": ESCAPES}
    else:
        error["metadata"] = {"provider_name": ESCAPES + "sk-or-v1-0123456789abcdef" + "x" * 500}
    body = ESCAPES if place == "text" else json.dumps({"error": error})
    reply = Reply(body, status=400)
    if streamed and place != "text":
        reply = Reply(f"data: {body}\n\n", content_type="text/event-stream")

    with pytest.raises(errors.ResponseError) as caught:
        list(model_on(serve(reply)).stream("What?"))

    error = caught.value
    for text in (str(error), error.provider or "", error.error_type or ""):
        assert is_one_plain_line(text)
        assert len(text) < 900
        assert "sk-or-v1" not in text
    assert len(error.provider or "") <= 100
    if place == "message":
        assert "red " in str(error)
        assert "title" not in str(error)


def test_an_escape_does_not_hide_a_key_or_the_prompt(serve, model_on):
    """What is masked is masked where escapes and line ends divide it, too."""
    message = "no \x1b[0msk-or-v1-\u200b0123\x0789abcdef, this is a \x1b[1mrather private question"
    reply = Reply({"error": {"code": 400, "message": message}}, status=400)

    with pytest.raises(errors.InvalidRequestError) as caught:
        model_on(serve(reply)).invoke("Well, this is a rather private question of mine.")

    assert "0123" not in str(caught.value)
    assert "private" not in str(caught.value)


def test_emoji_and_letters_of_any_script_stay():
    """Only what drives a terminal goes."""
    text = "naïve 日本語 🙂 עברית \N{NO-BREAK SPACE}x"

    assert redact(text) == text
    assert printable(f"a\n\tb {ESCAPES}", keep="\n\t").startswith("a\n\tb red ")


@given(st.text(alphabet="ab \n", max_size=80), st.text(alphabet="ab \n", max_size=200))
def test_what_the_prompt_shares_is_masked(message, prompt):
    """Each run of 16 characters out of the prompt is masked, wherever in either text it is."""
    seen = redact(message, prompt)

    for start in range(len(seen) - 15):
        assert seen[start : start + 16] not in prompt


CPU_GUARD = 60  # seconds of CPU time, for some six; one quadratic pattern takes minutes
SCRIPT = rf"""
import resource
resource.setrlimit(resource.RLIMIT_CPU, ({CPU_GUARD}, {CPU_GUARD}))
"""
SCRIPT += r"""
from langchain_openrouter._http.error_mapping import error_from_response, redact_error
from langchain_openrouter._redaction import contains_api_key, printable, redact
from langchain_openrouter._json import is_too_deep, parse_json_or_text, parse_model_json, parse_cut_json

n = 300_000
for unit in ("eyJ", "sk-", "sk-aaaaaaaa.", "spend", "key ", "context ", "<", "<a", "\x1b]", "\x1b[",
             "\x9d", "\n", "Bearer ", '"', '\\"', "[", '{"a":', "9", "-9", "\\ud800", "ab" * 8):
    text = unit * (n // len(unit))
    contains_api_key(text)
    printable(text)
    redact(text, text)
    is_too_deep(text)
    parse_cut_json(text)
    parse_json_or_text(text.encode())
    try:
        parse_model_json(text)
    except ValueError:
        pass
    for status in (400, 403):
        redact_error(error_from_response(text, status=status), prompt=text)
        error = {"message": text, "metadata": {"raw": text, "provider_name": text}}
        headers = {"retry-after": text}
        redact_error(error_from_response({"error": error}, status=status, headers=headers), prompt=text)
print("done")
"""


def test_hundreds_of_kilobytes_of_repetition_take_no_time():
    """Every pattern that sees text of the network is linear in it."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        timeout=110,
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout == "done\n"


def test_thousands_of_interleaved_calls_are_joined_in_one_pass():
    """Core compares each piece with each call: what it is given holds every call once."""
    from langchain_openrouter.chat_models._message_chunk import _merge_runs
    from langchain_openrouter.chat_models._streaming import StreamState

    state, count = StreamState(), 2_000
    first = [
        {"index": i, "id": f"c{i}", "function": {"name": "f", "arguments": '{"a":'}}
        for i in range(count)
    ]
    rest = [{"index": i, "function": {"arguments": f"{i}}}"}} for i in range(count)]
    chunks = [
        chunk
        for call in first + rest
        for chunk in state.handle_event(event({"tool_calls": [call]}))
    ]
    state.saw_done = True
    chunks.append(state.final_chunk())

    condensed = _merge_runs(chunks)
    answer = chunks[0] + chunks[1:]

    assert sum(len(chunk.tool_call_chunks) for chunk in condensed) == count
    assert [call["args"] for call in answer.tool_calls] == [{"a": i} for i in range(count)]


def test_a_name_repeated_in_each_fragment_costs_one_parse(monkeypatch):
    """Some services repeat it, and every fragment that ends in a brace looked like the last."""
    from langchain_openrouter.chat_models import _tool_calls
    from langchain_openrouter.chat_models._streaming import StreamState

    parsed = []
    monkeypatch.setattr(_tool_calls, "parse_arguments", lambda text, **_: parsed.append(text))
    state = StreamState()
    for piece in ['{"a":', *["{}"] * 1_000, "}"]:
        call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": piece}}
        state.handle_event(event({"tool_calls": [call]}))

    assert len(state._calls) == 1
    assert len(parsed) <= 1
