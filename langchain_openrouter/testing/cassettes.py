"""Recorded exchanges with OpenRouter: vcrpy, set up for this API.

Requests match on method, address and body. Every recorded exchange must be played, once. Nothing
secret is written, and what was written is read again to be sure. A stream is replayed in pieces
of several sizes, as a network would bring it; `Retry-After` is not slept.
"""

from __future__ import annotations

import difflib
import itertools
import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from unittest import mock
from urllib.parse import urlsplit, urlunsplit

import httpx2
import vcr
from vcr.errors import CannotOverwriteExistingCassetteException
from vcr.record_mode import RecordMode

from langchain_openrouter import _pool
from langchain_openrouter._links import BASE_URL, is_loopback
from langchain_openrouter.settings import VERSION
from langchain_openrouter.testing._scrub import Scrubber, unnumbered
from langchain_openrouter.testing._written import Files, LeakError, Readable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["CassetteError", "Exchange", "LeakError", "Recording", "use_cassette"]

Record: TypeAlias = Literal["none", "once", "all"]
_SITE = urlsplit(BASE_URL)
_MATCH_ON = ("method", "scheme", "host", "port", "path", "query", "json_body")
_REQUEST_HEADERS = {"accept", "content-type", "http-referer", "x-session-id", "x-anthropic-beta"}
_RESPONSE_HEADERS = {"content-type", "x-generation-id", "retry-after", "location", "allow"}
_OPEN_HEADERS = ("x-openrouter-", "x-ratelimit-")
_PIECES = (1, 7, 64, 1000)
EMULATOR = f"the emulator of langchain-openrouter-oauth {VERSION}"
LIVE = "the live service, https://openrouter.ai"


class CassetteError(BaseException):
    """A request is not in the cassette, or an exchange was not played.

    No `Exception`, so that no retry, fallback or error handler on the way can hide it.
    """


class Exchange:
    """One request and its answer, as recorded or replayed."""

    def __init__(self, request: Any, response: Mapping[str, Any]) -> None:
        self.method: str = request.method
        self.path: str = urlsplit(request.uri).path.removeprefix(_SITE.path)
        self.raw: bytes = _bytes(request.body)
        self.status: int = response["status"]["code"]
        self.answer: bytes = _bytes(response["body"]["string"])

    @property
    def body(self) -> Any:
        """The JSON of the request."""
        return json.loads(self.raw) if self.raw else None


class Recording:
    """A cassette in use."""

    def __init__(self, cassette: Any, *, replaying: bool) -> None:
        self._cassette = cassette
        self.replaying = replaying
        self.failed: list[str] = []

    @property
    def exchanges(self) -> list[Exchange]:
        """What was asked and answered so far, in order."""
        return [Exchange(*pair) for pair in self._pairs()]

    def _pairs(self) -> Any:
        return self._cassette._played_interactions if self.replaying else self._cassette.data  # noqa: SLF001 - vcrpy has no other way


@contextmanager
def use_cassette(
    path: str | Path,
    *,
    record: Record = "none",
    origin: str = EMULATOR,
    pieces: Sequence[int] = _PIECES,
) -> Iterator[Recording]:
    """Replay a cassette, or record one.

    Args:
        path: A YAML file.
        record: "none" replays; "once" records where there is no file; "all" records anew.
        origin: What is recorded against: `EMULATOR` or `LIVE`; written into the first line.
        pieces: Bytes of each piece of a replayed body, in turn.

    Raises:
        CassetteError: A request that is not recorded, with the difference to the nearest one; or,
            at the end, an exchange that nobody asked for.
        LeakError: A recording held a secret; its file was deleted.
    """
    scrubber = Scrubber()
    recorder = vcr.VCR(
        record_mode=_mode(path, record),
        match_on=_MATCH_ON,
        before_record_request=lambda request: _scrubbed_request(request, scrubber),
        before_record_response=lambda response: _scrubbed_response(response, scrubber),
        decode_compressed_response=True,
    )
    recorder.register_matcher("json_body", _same_body)
    recorder.register_serializer("readable", Readable)
    today = datetime.now(UTC).date().isoformat()
    files = Files(f"{origin}, {today}", scrubber.seen)
    recorder.register_persister(files)
    with recorder.use_cassette(str(path), serializer="readable") as cassette:
        replaying = cassette.record_mode == RecordMode.NONE
        recording = Recording(cassette, replaying=replaying)
        with _patched(recording, cassette, pieces):
            yield recording
    if files.failure is not None:
        raise files.failure
    if recording.failed:
        raise CassetteError(recording.failed[0])
    if replaying and not cassette.all_played:
        unplayed = [
            f"{request.method} {request.path} {_pretty(request.body)}"
            for place, request in enumerate(cassette.requests)
            if not cassette.play_counts[place]
        ]
        msg = f"{path}: recorded, but nobody asked for it:\n" + "\n".join(unplayed)
        raise CassetteError(msg)


def _mode(path: str | Path, record: Record) -> RecordMode:
    if record == "all":
        Path(path).unlink(missing_ok=True)
        return RecordMode.ALL
    if record == "once" and not Path(path).is_file():
        return RecordMode.ALL
    return RecordMode.NONE


# --- on the way -------------------------------------------------------------------------------


@contextmanager
def _patched(recording: Recording, cassette: Any, pieces: Sequence[int]) -> Iterator[None]:
    """Stand before vcrpy: readable failures, pieces, no encodings it cannot read, no waiting."""
    sync, unsync = httpx2.HTTPTransport, httpx2.AsyncHTTPTransport
    handle, ahandle = sync.handle_request, unsync.handle_async_request
    sizes = itertools.cycle(pieces)
    lock = threading.RLock()  # vcrpy's look and take are two steps

    def prepared(request: httpx2.Request) -> None:
        request.headers["accept-encoding"] = "gzip"  # vcrpy reads no zstd

    def failure(error: CannotOverwriteExistingCassetteException) -> CassetteError:
        told = _difference(cassette, error.failed_request)
        recording.failed.append(told)
        return CassetteError(told)

    def handle_request(self: Any, request: httpx2.Request) -> httpx2.Response:
        prepared(request)
        if not recording.replaying:
            return handle(self, request)
        try:
            with lock:
                return _in_pieces(handle(self, request), sizes)
        except CannotOverwriteExistingCassetteException as error:
            raise failure(error) from None

    async def handle_async_request(self: Any, request: httpx2.Request) -> httpx2.Response:
        prepared(request)
        if not recording.replaying:
            return await ahandle(self, request)
        try:
            with lock:  # nothing in here waits: the answer is in memory
                return _in_pieces(await ahandle(self, request), sizes)
        except CannotOverwriteExistingCassetteException as error:
            raise failure(error) from None

    with (
        mock.patch.object(sync, "handle_request", handle_request),
        mock.patch.object(unsync, "handle_async_request", handle_async_request),
    ):
        if not recording.replaying:
            yield
            return
        at_once = mock.patch.object(
            _pool._ClientOverrides,  # noqa: SLF001 - where the SDK asks how long to wait
            "_calculate_retry_timeout",
            create=True,
            return_value=0.0,
        )
        with at_once:
            yield


class _Pieces(httpx2.ByteStream):
    """A body that arrives in pieces."""

    def __init__(self, data: bytes, sizes: Iterator[int]) -> None:
        super().__init__(data)
        self._parts = list(_cut(data, sizes))

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts

    async def __aiter__(self) -> Any:
        for part in self._parts:
            yield part


def _cut(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        size = next(sizes)
        yield data[start : start + size]
        start += size


def _in_pieces(response: httpx2.Response, sizes: Iterator[int]) -> httpx2.Response:
    data = b"".join(response.stream)  # type: ignore[arg-type]
    response.stream = _Pieces(data, sizes)
    return response


# --- what is written --------------------------------------------------------------------------


def _scrubbed_request(request: Any, scrubber: Scrubber) -> Any:
    """Return a request as it is written and matched; None leaves it to the network."""
    parts = urlsplit(request.uri)
    local = is_loopback(parts.hostname or "")
    if not (local or (parts.hostname or "").endswith("openrouter.ai")):
        return None
    if not parts.path.startswith(_SITE.path):
        return None  # a page, not the API
    scrubber.authorization(str(request.headers.get("authorization", "")))
    request.uri = urlunsplit(parts._replace(scheme=_SITE.scheme, netloc=_SITE.netloc))
    request.headers = _allowed(request.headers, _REQUEST_HEADERS, scrubber)
    body = request.body
    if body:
        request.body = scrubber.body(_bytes(body), path=parts.path)
    return request


def _scrubbed_response(response: dict[str, Any], scrubber: Scrubber) -> dict[str, Any]:
    data = _bytes(response["body"]["string"])
    response["headers"] = _allowed(response["headers"], _RESPONSE_HEADERS, scrubber)
    # A new key travels in the answer of the sign-in alone; a body tells which it is by its fields.
    path = "/auth/" if data.lstrip()[:1] == b"{" and b'"key"' in data else ""
    response["body"]["string"] = scrubber.body(data, path=path)
    return response


def _allowed(headers: Mapping[str, Any], names: set[str], scrubber: Scrubber) -> dict[str, Any]:
    kept = {}
    for name, value in headers.items():
        if name.lower() in names or name.lower().startswith(_OPEN_HEADERS):
            many = value if isinstance(value, list) else [value]
            clean = [scrubber.text(_str(one)) for one in many]
            kept[name.lower()] = clean if isinstance(value, list) else clean[0]
    return dict(sorted(kept.items()))


# --- what matches -----------------------------------------------------------------------------


def _same_body(one: Any, other: Any) -> None:
    """Match JSON by value, but for the order of what is sent; anything else by bytes."""
    if _pretty(one.body) != _pretty(other.body):
        raise AssertionError("\n".join(_diff(other, one)))


def _difference(cassette: Any, asked: Any) -> str:
    """Say what was asked for, and how the nearest recorded request differs."""
    asked = cassette.filter_request(asked) or asked
    head = f"{asked.method} {asked.uri} is not in the cassette"
    same = [(place, r) for place, r in enumerate(cassette.requests)
            if (r.method, r.path) == (asked.method, asked.path)]  # fmt: skip
    for place, known in same:
        if cassette.play_counts[place] and _pretty(known.body) == _pretty(asked.body):
            return f"{head} once more: it was recorded, and played already"
    if not len(cassette):
        path = cassette._path  # noqa: SLF001 - vcrpy has no other way
        return f"{head}: {path} is not there; record it with `--openrouter-record=once`"
    if not same:
        known = ", ".join(f"{r.method} {r.path}" for r in cassette.requests) or "nothing"
        return f"{head}, which holds {known}"
    unplayed = [r for place, r in same if not cassette.play_counts[place]] or [r for _, r in same]
    nearest = max(unplayed, key=lambda r: difflib.SequenceMatcher(
        None, _pretty(r.body), _pretty(asked.body)).ratio())  # fmt: skip
    return f"{head}. The nearest recorded one differs:\n" + "\n".join(_diff(nearest, asked))


def _diff(recorded: Any, asked: Any) -> list[str]:
    one, other = _pretty(recorded.body).splitlines(), _pretty(asked.body).splitlines()
    return list(difflib.unified_diff(one, other, "recorded", "asked", lineterm="", n=2))


def _pretty(body: Any) -> str:
    """Return JSON over several lines; keys keep their order, which is part of the cache's key."""
    data = unnumbered(_bytes(body))
    try:
        return json.dumps(json.loads(data), indent=2, ensure_ascii=False)
    except ValueError:
        return data.decode("utf-8", "replace")


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else bytes(body)


def _str(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
