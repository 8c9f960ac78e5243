"""Cassettes: what matches, what is written, what must not be; a pair for each way vcrpy fails."""

from __future__ import annotations

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from langchain_core.messages import HumanMessage

from langchain_openrouter import ChatOpenRouter, PKCELogin, errors
from langchain_openrouter.testing import (
    CassetteError,
    LeakError,
    Reply,
    assert_no_secrets,
    assert_prefix_stable,
    assert_reasoning_returned,
    error,
    use_cassette,
)
from langchain_openrouter.testing.__main__ import main
from langchain_openrouter.testing.cassettes._scrubbing import Scrubber, secrets_in

KEY = "sk-or-v1-" + "0123456789abcdef" * 4


def model(emulator=None, **words):
    """Make a model on an emulator, or on the service's own address."""
    where = {"base_url": emulator.url} if emulator else {}
    return ChatOpenRouter(
        **{"model": "openai/gpt-4o-mini", "api_key": KEY, "max_retries": 0, **where, **words}
    )


@pytest.fixture
def path(tmp_path):
    """Name a cassette."""
    return tmp_path / "cassettes" / "one.yaml"


def record(path, emulator, *questions, **words):
    """Record answers to questions."""
    with use_cassette(path, record="all"):
        for question in questions:
            model(emulator, **words).invoke(question)


def test_trap_38_the_body_is_matched(emulate, path):
    """Threads that ask in another order get their own answers."""
    emulator = emulate(lambda asked: asked.body["messages"][0]["content"].upper())
    words = [f"word {n}" for n in range(20)]
    record(path, emulator, *words)

    with use_cassette(path), ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda word: model().invoke(word).text, reversed(words)))
    assert said == [word.upper() for word in reversed(words)]


def test_trap_38_a_mismatch_shows_the_difference(emulate, path):
    """Against the nearest recorded request; no retry and no fallback hides it."""
    record(path, emulate(), "Why is the sky blue?", "Quite another thing")
    plain = model(max_retries=2)

    with pytest.raises(CassetteError) as caught, use_cassette(path):
        plain.with_fallbacks([plain]).invoke("Why is the sky red?")
    assert re.search(r'-\s+"content": "Why is the sky blue\?"', str(caught.value))
    assert re.search(r'\+\s+"content": "Why is the sky red\?"', str(caught.value))
    assert "Quite another" not in str(caught.value)


def test_trap_38_the_order_of_keys_is_part_of_a_request(emulate, path):
    """As it is of OpenRouter's response cache."""
    record(path, emulate(), "x", model_kwargs={"one": 1, "two": 2})

    with pytest.raises(CassetteError, match="differs"), use_cassette(path):
        model(model_kwargs={"two": 2, "one": 1}).invoke("x")


INDENTED = "Add numbers.\n\n            Args:\n                a: One of them.\n            "
DEDENTED = "Add numbers.\n\nArgs:\n    a: One of them.\n"


@pytest.mark.parametrize(
    "texts", [(INDENTED, DEDENTED), (DEDENTED, INDENTED)], ids=["to 3.13", "from 3.13"]
)
def test_a_cassette_replays_on_every_python(emulate, path, texts):
    """The indentation of a docstring, which Python 3.13 takes away, is not part of a match."""
    requests = [
        {
            "tools": [{"type": "function", "function": {"name": "add", "description": text}}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "Sum", "schema": {"description": text, "type": "object"}},
            },
        }
        for text in texts
    ]
    with use_cassette(path, record="all"):
        model(emulate(lambda _: "{}")).invoke("x", **requests[0])

    with use_cassette(path):
        assert model().invoke("x", **requests[1]).text == "{}"
    requests[1]["tools"][0]["function"]["description"] = DEDENTED.replace("    a", "  a")
    with pytest.raises(CassetteError, match="differs"), use_cassette(path):
        model().invoke("x", **requests[1])


def test_trap_39_each_exchange_is_played_once_and_in_order(emulate, path):
    """A 429 and then an answer; a third request is one too many."""
    emulator = emulate([error("rate_limit"), "Fine."])
    with use_cassette(path, record="all"):
        model(emulator, max_retries=1).invoke("x")

    with use_cassette(path):
        assert model(max_retries=1).invoke("x").text == "Fine."
    with pytest.raises(CassetteError, match="once more"), use_cassette(path):
        model(max_retries=1).batch(["x", "x"], config={"max_concurrency": 1})


def test_trap_39_what_nobody_asked_for_is_an_error(emulate, path):
    """A recording that the test outgrew."""
    record(path, emulate(), "one", "two")

    with pytest.raises(CassetteError, match="not requested"), use_cassette(path):
        model().invoke("one")


def test_a_failing_test_keeps_its_own_error(emulate, path):
    """The unplayed rest is not what went wrong."""
    record(path, emulate(), "one", "two")

    with pytest.raises(ZeroDivisionError), use_cassette(path):
        raise ZeroDivisionError


def test_trap_40_retry_after_is_not_slept(emulate, path):
    """Half a minute when recorded is nothing on replay, sync and async."""
    emulator = emulate([error("rate_limit", retry_after=0.01), "Fine."] * 2)
    with use_cassette(path, record="all"):
        model(emulator, max_retries=1).invoke("x")
        asyncio.run(model(emulator, max_retries=1).ainvoke("y"))
    path.write_text(path.read_text().replace("'0.01'", "'30'").replace("- 0.01", "- '30'"))
    assert "'30'" in path.read_text()
    started = time.monotonic()

    with use_cassette(path):
        assert model(max_retries=1).invoke("x").text == "Fine."
        assert asyncio.run(model(max_retries=1).ainvoke("y")).text == "Fine."
    assert time.monotonic() - started < 25


@pytest.mark.parametrize("pieces", [(1,), (3, 17), (100_000,)])
def test_trap_41_a_stream_comes_in_pieces(emulate, path, pieces):
    """Of the sizes that are asked for; the text is the same."""
    emulator = emulate(lambda _: Reply("Größe: 😀 und mehr"))
    with use_cassette(path, record="all"):
        list(model(emulator).stream("x"))
    got = []

    with use_cassette(path, pieces=pieces), httpx2.Client() as client:
        body = b'{"model":"openai/gpt-4o-mini","messages":[{"role":"user","content":"x"}],"stream":true}'
        url = "https://openrouter.ai/api/v1/chat/completions"
        headers = {"content-type": "application/json"}
        with client.stream("POST", url, content=body, headers=headers) as response:
            got = list(response.iter_raw())
    assert {len(part) for part in got[:-1]} <= set(pieces)
    with use_cassette(path, pieces=pieces):
        assert "".join(chunk.text for chunk in model().stream("x")) == "Größe: 😀 und mehr"


def test_trap_42_no_encoding_that_vcrpy_cannot_read(emulate, path):
    """The service is asked for gzip, whatever the client can."""
    emulator = emulate()
    record(path, emulator, "x")

    assert emulator.chats[0].headers["accept-encoding"] == "gzip"


def test_trap_43_nothing_secret_is_written(emulate, browse, path):
    """Key, code, verifier, user ids and cookies, on both sides of both bodies."""
    emulator = emulate(lambda asked: f"your key is {asked.key}")
    login = PKCELogin.start("http://localhost:9/cb", base_url=emulator.url)
    target = browse(follow=False, user="user_2abcDEFghiJKLmno").decide(login.url)
    with use_cassette(path, record="all"):
        key = login.redeem(target)
        model(
            emulator, default_headers={"X-Provider-API-Keys": '{"openai": "sk-abcdefghijklmno"}'}
        ).invoke(f"mine is {KEY}")
        model(emulator).for_user(key, user=True).invoke("x")
    text = path.read_text()

    for secret in (KEY, key.secret.get_secret_value(), login.verifier.get_secret_value(), target.partition("code=")[2],
                   "user_2abc", "__cf_bm", "sk-abcdef", "Bearer", "cookie", "127.0.0.1"):  # fmt: skip
        assert secret not in text, secret
    assert_no_secrets(path)
    with use_cassette(path):
        again = PKCELogin.start("http://localhost:9/cb").redeem("any code")
        assert model().invoke(f"mine is {KEY}").text.startswith("your key is sk-or-v1-redacted")
        model().for_user(again, user=True).invoke("x")


def test_trap_43_a_leak_deletes_the_file(emulate, path, monkeypatch):
    """And fails; here the scrubber is made blind."""
    emulator = emulate(lambda _: "fine")
    monkeypatch.setattr(Scrubber, "text", lambda _, text: text)

    with pytest.raises(LeakError) as caught, use_cassette(path, record="all"):
        model(emulator).invoke(f"mine is {KEY}")
    assert not path.exists()
    assert KEY not in str(caught.value)
    assert httpx2.HTTPTransport.handle_request.__module__ == "httpx2._transports.default"


@pytest.mark.parametrize(
    ("text", "found"),
    [(KEY, True), ("sk-or-v1-0e6...1c96", True), ("sk-proj-abcDEF0123", True), ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.abc", True),
     ("user_2abcDEFghiJKLmnoPQR", True), ("org_2abcDEFghiJKLmnoPQR", True), ("sk-or-v1-redacted-1", False),
     ("user_redacted-1", False), ("the task-force of risk-or-vice", False), ("user_id", False), ("a user_emulated b", False)],
)  # fmt: skip
def test_trap_43_what_looks_secret(text, found):
    """Keys of any form, and ids; ordinary words are none."""
    assert bool(secrets_in(text)) is found
    assert KEY not in "".join(secrets_in(text))


def test_trap_44_a_cassette_names_the_service_and_its_origin(emulate, path):
    """Loopback is rewritten, and the first line says what was really asked."""
    record(path, emulate(), "x")
    first, *rest = path.read_text().splitlines()

    assert re.fullmatch(
        r"# Recorded against: the emulator of langchain-openrouter-oauth \S+, \d{4}-\d\d-\d\d",
        first,
    )
    assert "uri: https://openrouter.ai/api/v1/chat/completions" in "\n".join(rest)
    with use_cassette(path):
        assert model().invoke("x").text


AWKWARD = [
    "a\x85b\u2028c\u2029d",
    "tabs\tand \ntrailing \n",
    "\r\nCR",
    "\ufeffBOM",
    "'quotes' \"and\" #: - {}",
    "\x00\x1f\x7f",
    "\n\n  x\n",
    "ends\n\n\n",
]


@pytest.mark.parametrize("streamed", [False, True])
def test_trap_45_every_character_survives(emulate, path, streamed):
    """Line breaks that YAML would change, control characters, white space."""
    emulator = emulate(list(AWKWARD))
    with use_cassette(path, record="all"):
        first = [ask(emulator, n, streamed) for n in range(len(AWKWARD))]
    with use_cassette(path):
        again = [ask(None, n, streamed) for n in range(len(AWKWARD))]

    assert first == again == AWKWARD


def ask(emulator, question, streamed):
    """Ask for a text."""
    if streamed:
        return "".join(chunk.text for chunk in model(emulator).stream(str(question)))
    return model(emulator).invoke(str(question)).text


def test_trap_46_the_pool_of_the_package_is_intercepted(emulate, path):
    """Clients that were made before the cassette, too; another address is not the cassette's."""
    emulator = emulate()
    model(emulator).invoke("warm")
    record(path, emulator, "x")
    emulator.stop()

    with use_cassette(path):
        assert model().invoke("x").text


def test_a_cassette_that_is_not_there_says_how_to_record_it(path):
    """Instead of asking the network."""
    with pytest.raises(CassetteError, match='record="all"'), use_cassette(path):
        model().invoke("x")
    with use_cassette(path):
        pass  # who asks nothing needs none


def test_once_records_what_is_missing_and_replays_what_is_there(emulate, path):
    """A second recording asks nobody."""
    emulator = emulate()
    for _ in range(2):
        with use_cassette(path, record="once") as recording:
            model(emulator).invoke("x")
        assert len(emulator.asked) == 1
    assert recording.replaying


# --- assertions -------------------------------------------------------------------------------


def conversation(emulator, *, spoiled=None):
    """Have two turns; return what the emulator was asked."""
    thinker = model(emulator, reasoning={"effort": "high"})
    first = thinker.invoke("one")
    messages = [HumanMessage("one"), first, HumanMessage("two")]
    if spoiled == "reasoning":
        first.additional_kwargs["reasoning_details"] = first.additional_kwargs["reasoning_details"][
            :1
        ]
    if spoiled == "prefix":
        messages[0] = HumanMessage("changed")
    thinker.invoke(messages)


@pytest.mark.parametrize("spoiled", [None, "reasoning", "prefix"])
def test_assertions_on_what_was_exchanged(emulate, path, spoiled):
    """Each fails for its own fault."""
    with use_cassette(path, record="all") as recording:
        conversation(emulate(), spoiled=spoiled)
    if spoiled == "reasoning":
        with pytest.raises(AssertionError, match="did not go back"):
            assert_reasoning_returned(recording.exchanges)
    else:
        assert_reasoning_returned(recording.exchanges)
    if spoiled == "prefix":
        with pytest.raises(AssertionError, match="changes message 1"):
            assert_prefix_stable(recording.exchanges)
    else:
        assert_prefix_stable(recording.exchanges)


def test_assertions_that_have_nothing_to_assert_fail(tmp_path):
    """Rather than pass for nothing."""
    with pytest.raises(AssertionError, match="two requests"):
        assert_prefix_stable([])
    with pytest.raises(AssertionError, match="no answer with reasoning"):
        assert_reasoning_returned([])
    with pytest.raises(AssertionError, match="does not exist"):
        assert_no_secrets(tmp_path / "nothing")


def test_no_secrets_names_the_file_and_not_the_secret(tmp_path):
    """In a notebook, a log, a script."""
    (tmp_path / "a.ipynb").write_text(f'{{"source": "key = {KEY}"}}')

    with pytest.raises(AssertionError, match=r"a\.ipynb") as caught:
        assert_no_secrets(tmp_path)
    assert KEY not in str(caught.value)


# --- the command ------------------------------------------------------------------------------


def test_lint_passes_good_cassettes_and_names_bad_ones(emulate, path, capsys):
    """Exit code 0, 1, 2; a line for each problem."""
    record(path, emulate(), "x")
    assert main(["lint", str(path.parent)]) == 0
    bad = path.with_name("bad.yaml")
    bad.write_text(
        path.read_text()
        .partition("\n")[2]
        .replace("openrouter.ai", "example.org")
        .replace("x-generation-id", "set-cookie")
        + f"# {KEY}\n"
    )
    (path.parent / "worse.yaml").write_text("- nothing")
    assert main(["lint", str(path.parent)]) == 1
    said = capsys.readouterr().out
    assert main(["lint", str(path.parent / "nowhere")]) == 2

    for problem in (
        "holds a secret",
        "does not say what",
        "example.org",
        "header set-cookie",
        "is not a cassette",
    ):
        assert problem in said
    assert KEY not in said


def test_the_projects_own_cassettes_are_fine(capsys):
    """Every one says that it was recorded against the emulator."""
    from pathlib import Path

    folder = Path(__file__).parents[2] / "cassettes"

    assert main(["lint", str(folder)]) == 0, capsys.readouterr().out
    assert_no_secrets(folder)
    files = list(folder.rglob("*.yaml"))
    assert files
    assert all(file.read_text().startswith("# Recorded against: the emulator") for file in files)


def test_an_error_is_an_error_on_replay_too(emulate, path):
    """Status, message and headers."""
    emulator = emulate([error("rate_limit", retry_after=7)])
    with use_cassette(path, record="all"), pytest.raises(errors.RateLimitError):
        model(emulator).invoke("x")
    with use_cassette(path), pytest.raises(errors.RateLimitError) as caught:
        model().invoke("x")

    assert caught.value.retry_after == 7


# --- large cassettes --------------------------------------------------------------------------


def test_a_replay_compares_no_request_with_every_recorded_one(emulate, path, monkeypatch):
    """Each body is read once, however many exchanges a cassette has."""
    from langchain_openrouter.testing.cassettes import _index

    emulator = emulate(lambda asked: asked.body["messages"][0]["content"].upper())
    words = [f"word {n}" for n in range(30)]
    record(path, emulator, *words)
    read = []
    pretty = _index.pretty
    monkeypatch.delattr("vcr.cassette.requests_match")  # what compares with each
    monkeypatch.setattr(_index, "pretty", lambda body: read.append(body) or pretty(body))

    with use_cassette(path) as recording:
        assert [model().invoke(word).text for word in reversed(words)] == [
            word.upper() for word in reversed(words)
        ]
    assert len(recording.exchanges) == 30
    assert len(read) <= 2 * len(words)


def test_the_same_request_is_answered_in_the_order_of_the_recording(emulate, path):
    """Equal requests have the answers that they had, one after the other; one more is refused."""
    numbers = iter(range(10))
    record(path, emulate(lambda _: f"answer {next(numbers)}"), "a", "b", "a", "a")

    said = []
    with pytest.raises(CassetteError, match="once more"), use_cassette(path):
        said += [model().invoke(question).text for question in ("a", "a", "a", "b", "a")]
    assert not said

    with use_cassette(path):
        said += [model().invoke(question).text for question in ("a", "a", "a", "b")]
    assert said == ["answer 0", "answer 2", "answer 3", "answer 1"]
