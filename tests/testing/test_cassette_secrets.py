"""What no cassette may hold, in whatever form it comes; and files that are no cassettes."""

from __future__ import annotations

import base64
import gzip
import json
import time

import httpx2
import pytest

from langchain_openrouter.testing import CassetteError, LeakError, assert_no_secrets, use_cassette
from langchain_openrouter.testing.__main__ import main
from langchain_openrouter.testing.cassettes._scrubbing import Scrubber, secrets_in
from tests.support.loopback import Reply

pytestmark = pytest.mark.off_spec("bodies of any kind")
KEY = "sk-or-v1-" + "0123456789abcdef" * 4

USER = "user_2abcDEFghiJKLmnoPQR"


def fetch(server, content=b"{}", query="", **headers):
    """Send a request as it is."""
    headers = {"authorization": f"Bearer {KEY}", **headers}
    return httpx2.post(f"{server.url}/chat/completions{query}", content=content, headers=headers)


def events(*pieces, **fields):
    """Return a stream whose text comes in pieces."""
    lines = [
        json.dumps({"choices": [{"index": 0, "delta": {"content": piece, **fields}}]})
        for piece in pieces
    ]
    return (
        "".join(f": OPENROUTER PROCESSING\n\ndata: {line}\n\n" for line in lines)
        + "data: [DONE]\n\n"
    )


def packed(text):
    """Return a text as gzip packs it."""
    return gzip.compress(text.encode())


def wrapped(data):
    """Return base64 in lines, as mail has it."""
    return json.dumps({"file": base64.encodebytes(data).decode()})


def encoded(data, before=b""):
    """Return base64 within JSON."""
    return json.dumps(
        {"file": f"data:text/plain;base64,{base64.b64encode(before + data).decode()}"}
    )


def escaped(text):
    """Return JSON that escapes every character."""
    return "".join(f"\\u{ord(c):04x}" for c in text)


HIDDEN = {
    "over the pieces of a stream": events(*KEY),
    "over two pieces": events("your key: sk-o", KEY[4:]),
    "an id over pieces": events("user_2abcDEF", "ghiJKLmnoPQR"),
    "over interleaved choices": "".join(
        f'data: {{"choices":[{{"index":{n},"delta":{{"content":"{piece}"}}}}]}}\n\n'
        for one, other in zip(KEY, "x" * len(KEY), strict=True)
        for n, piece in ((0, one), (1, other))
    ),
    "over tool arguments": "".join(
        f'data: {{"choices":[{{"delta":{{"tool_calls":[{{"index":0,"function":{{"arguments":"{c}"}}}}]}}}}]}}\n\n'
        for c in KEY
    ),
    "over the parts of a message": f'{{"content":[{{"text":"{KEY[:5]}"}},{{"text":"{KEY[5:]}"}}]}}',
    "escaped": f'{{"a":"{escaped(KEY)}"}}',
    "escaped, in JSON within JSON": '{"a":"{\\"b\\":\\"'
    + escaped(KEY).replace("\\", "\\\\")
    + '\\"}"}',
    "escaped, over pieces": "".join(f'data: {{"a":"{escaped(c)}"}}\n\n' for c in KEY),
    "base64": encoded(KEY.encode()),
    "base64, one byte on": encoded(KEY.encode(), b"x:"),
    "base64, two bytes on": encoded(KEY.encode(), b"x::"),
    "base64 of an id": encoded(USER.encode(), b": "),
    "base64 in lines": wrapped(b"x" * 50 + b" " + KEY.encode()),
    "base64 of gzip": encoded(packed(KEY)),
    "base64 of base64": encoded(encoded(KEY.encode()).encode()),
    "percent-encoded": f'{{"a":"https://x/?key={"".join(f"%{ord(c):02X}" for c in KEY)}"}}',
    "gzip": packed(f'{{"a":"{KEY}"}}'),
    "UTF-16": f"key {KEY}".encode("utf-16"),
}


@pytest.mark.parametrize("side", ["request", "response"])
@pytest.mark.parametrize("form", HIDDEN)
def test_a_secret_in_another_form_is_not_written(serve, path, form, side):
    """On neither side; the message says so, and does not show it."""
    body = HIDDEN[form]
    body = body if isinstance(body, bytes) else body.encode()
    server = serve(lambda _: Reply(body if side == "response" else b"{}"))

    with (
        pytest.raises(LeakError, match="is not written") as caught,
        use_cassette(path, record="all"),
    ):
        fetch(server, body if side == "request" else b"{}")
    assert not path.exists()
    assert "0123456789abcdef0123" not in str(caught.value)
    assert "abcDEFghi" not in str(caught.value)


@pytest.fixture
def path(tmp_path):
    """Name a cassette."""
    return tmp_path / "cassettes" / "one.yaml"


@pytest.mark.parametrize("form", HIDDEN)
def test_a_secret_in_another_form_is_found_in_a_file(tmp_path, form):
    """By the assertion, and in a cassette that somebody else wrote."""
    body = HIDDEN[form]
    (tmp_path / "a.txt").write_bytes(body if isinstance(body, bytes) else body.encode())
    with pytest.raises(AssertionError, match=r"a\.txt"):
        assert_no_secrets(tmp_path)


@pytest.mark.parametrize(
    "form",
    [f"key {KEY}".encode() + b"\xff\xfe", b"\xe9" + f"\n{KEY}\n{USER}".encode("latin-1"), f'"\\n{KEY} \\u00e9{USER}"'.encode(),
     f"x{KEY}".encode(), b"a=%20" + KEY.encode()],
)  # fmt: skip
def test_a_secret_in_bytes_that_are_no_text_is_replaced(serve, path, form):
    """And beside escapes; the other bytes stay as they are."""
    server = serve(lambda _: Reply(b"[" + form))
    with use_cassette(path, record="all"):
        assert fetch(server, form).content == b"[" + form

    assert main(["lint", str(path)]) == 0
    with use_cassette(path):
        again = httpx2.post("https://openrouter.ai/api/v1/chat/completions", content=form).content
    assert again.startswith((b"[" + form).partition(b"sk-")[0])
    assert b"redacted-1" in again
    assert again.endswith(b"\xff\xfe") is form.endswith(b"\xff\xfe")


def test_secrets_in_addresses_and_headers_are_replaced(serve, path):
    """Also percent-encoded ones; the same request is found again on replay."""
    location = f"https://x.example/cb?code=abc%20defghijkl&k={KEY}"
    headers = {"location": location, "x-openrouter-trace": f"a {KEY}", "set-cookie": "__cf_bm=x"}
    server = serve(lambda _: Reply(b"{}", headers=headers))
    query = f"?user_id={USER}&key=a%2Bb%2Fc%20secret&q=1&t={KEY}&u=%75ser_2abcDEFghiJKLmnoPQR"
    keys = json.dumps({"openai": "a provider's own form"})
    with use_cassette(path, record="all"):
        fetch(
            server,
            b'{"a":"a provider\'s own form"}',
            query,
            **{"x-provider-api-keys": keys, "x-session-id": KEY},
        )
    text = path.read_text()

    for secret in (
        KEY,
        USER,
        "2abcDEF",
        "a%2Bb",
        "secret",
        "defghijkl",
        "provider's own",
        "__cf_bm",
    ):
        assert secret not in text, secret
    assert main(["lint", str(path)]) == 0
    with use_cassette(path):
        url = f"https://openrouter.ai/api/v1/chat/completions{query}"
        httpx2.post(
            url, content=b'{"a":"a provider\'s own form"}', headers={"x-provider-api-keys": keys}
        )


def test_a_short_secret_is_not_shown_in_full(serve, path):
    """What is shown of one is a quarter at most."""
    login = b'{"key":"abcdef12","user_id":"short-id"}'
    server = serve(lambda _: Reply(login))
    with pytest.raises(LeakError) as caught, use_cassette(path, record="all"):
        fetch(
            server,
            json.dumps({"a": base64.b64encode(b"abcdef12 and more of it").decode()}).encode(),
        )

    assert "abcdef" not in str(caught.value)
    assert "(8 characters)" in str(caught.value)


def test_more_secrets_than_can_be_remembered_are_not_written(serve, path):
    """A body of nothing but ids ends with an error, not in minutes."""
    body = json.dumps([{"user_id": f"somebody {n:06}"} for n in range(40_000)]).encode()
    server = serve(lambda _: Reply(body))
    started = time.process_time()
    with pytest.raises(LeakError, match="1000 secrets and more"), use_cassette(path, record="all"):
        fetch(server)

    assert not path.exists()
    assert time.process_time() - started < 20


HOSTILE = ["eyJ", "eyJabcdefghij-", "eyJabcdefghi. ", "sk-", "sk-aaaaaaaa", "sk-aaaaaaaa ", "user_aaaaaaaaaaaaa", "user_aaaa ", "org_",
           "__cf_bm=", "__cf_bm=a;", "a", "-_", "\\n", "\\neyJ", "%20sk-", "\\u0073", "[", '{"a":', "data: {}\n", "YWJjZGVmZ2hpamts\n",
           "sk-or-v1-redacted", "sk-or-v1-01", "\n "]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_scrubbing_takes_time_in_proportion(text):
    """400 KB take about 10 times the CPU time of 40 KB, whatever is repeated in them."""

    def seconds(size):
        body = (text * (size // len(text))).encode()
        started = time.thread_time()
        Scrubber().body(body, path="/auth/keys")
        secrets_in(body)
        return time.thread_time() - started

    small, large = min(seconds(40_000) for _ in range(3)), seconds(400_000)
    assert large < 10 * 4 * small + 0.2


# --- files that are no cassettes --------------------------------------------------------------

EXCHANGE = (
    "interactions:\n- request: {method: POST, uri: 'https://openrouter.ai/api/v1/x', body: null, headers: {}}\n"
    "  response: {status: {code: 200, message: OK}, headers: {}, body: {string: x}}\n"
)
MALFORMED = {
    "a number": "interactions: 5\n",
    "null": "null\n",
    "nothing": "",
    "a list": "- interactions\n",
    "a text": "interactions: many\n",
    "a mapping": "interactions: {a: b}\n",
    "no mapping within": "interactions: [1, null, [a]]\n",
    "no request": "interactions: [{response: {}}]\n",
    "texts for mappings": "interactions: [{request: GET, response: OK}]\n",
    "a number for a text": EXCHANGE.replace("POST", "7"),
    "a text for a number": EXCHANGE.replace("200", "fine"),
    "a boolean for a number": EXCHANGE.replace("200", "true"),
    "a list of headers": EXCHANGE.replace("headers: {}", "headers: [a]"),
    "a header that is a mapping": EXCHANGE.replace("headers: {}", "headers: {a: {b: c}}"),
    "a header without a name": EXCHANGE.replace("headers: {}", "headers: {1: c}"),
    "a body that is a number": EXCHANGE.replace("string: x", "string: 1"),
    "no body": EXCHANGE.replace("string: x", "text: x"),
    "code": "interactions: !!python/object/apply:os.system ['touch pwned']\n",
    "code in a body": EXCHANGE.replace(
        "string: x", "string: !!python/object/apply:os.system ['touch pwned']"
    ),
    "an object": "!!python/object/new:os.system ['touch pwned']\n",
    "a module": "interactions: !!python/module:pwned []\n",
    "a tab": "interactions:\n\t- x\n",
    "a cut": EXCHANGE + "- request: {method: 'PO",
    "a date": EXCHANGE.replace("string: x", "string: 2024-99-99"),
    "a list as a key": "? [a]\n: b\n",
    "deep": "[" * 3000,
    "a merge": "a: &a {x: 1}\ninteractions: [{<<: *a}]\n",
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_file_is_a_finding_and_runs_no_code(tmp_path, monkeypatch, capsys, fault):
    """For the lint; a replay says the same, and how to record anew."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pwned.py").write_text("open('pwned', 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "one.yaml"
    file.write_text(f"# Recorded against: x, 2025-01-01\n{MALFORMED[fault]}")

    assert main(["lint", str(file)]) == 1
    assert "is not a cassette: " in capsys.readouterr().out
    with (
        pytest.raises(CassetteError, match=r"is not a cassette: .*\n.*record=\"all\""),
        use_cassette(file),
    ):
        pass
    assert not (tmp_path / "pwned").exists()
    assert httpx2.HTTPTransport.handle_request.__module__ == "httpx2._transports.default"


def test_aliases_that_multiply_are_read_in_time(tmp_path, capsys):
    """A text that stands at many places is searched once."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (tmp_path / "one.yaml").write_text(
        "# Recorded against: x, 2025-01-01\n" + "\n".join(lines) + f"\n{EXCHANGE}"
    )
    started = time.process_time()

    assert main(["lint", str(tmp_path)]) == 0, capsys.readouterr().out
    assert time.process_time() - started < 10


def test_bytes_that_are_no_text_are_a_finding(tmp_path, capsys):
    """A file in another encoding, and an address that is none."""
    (tmp_path / "one.yaml").write_bytes(
        b"# Recorded against: x, 2025-01-01\n"
        + EXCHANGE.encode().replace(b"string: x", b"string: \xff")
    )
    (tmp_path / "two.yaml").write_text(
        "# Recorded against: x, 2025-01-01\n"
        + EXCHANGE.replace("https://openrouter.ai", "https://[x")
    )

    with pytest.raises(CassetteError, match="is not UTF-8"), use_cassette(tmp_path / "one.yaml"):
        pass
    assert main(["lint", str(tmp_path)]) == 1
    assert "two.yaml: exchange 1: is of no host" in capsys.readouterr().out


def test_a_difference_of_large_bodies_is_short_and_quick(serve, path):
    """A picture of 400 KB does not fill the screen; what differs in it is shown."""
    picture = base64.b64encode(bytes(range(256)) * 1200).decode()
    other = f"{picture[:200_000]}CHANGED{picture[200_007:]}"
    server = serve(lambda _: Reply(b"{}"))
    bodies = [
        json.dumps({"n": n, "many": list(range(20_000)), "picture": picture}) for n in range(3)
    ]
    with use_cassette(path, record="all"):
        for body in bodies:
            fetch(server, body.encode())
    started = time.process_time()

    url = "https://openrouter.ai/api/v1/chat/completions"
    changed = bodies[1].replace(picture, other).encode()
    with pytest.raises(CassetteError, match="CHANGED") as caught, use_cassette(path):
        httpx2.post(url, content=changed)
    assert len(str(caught.value)) < 4000
    assert time.process_time() - started < 20
