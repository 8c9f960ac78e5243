"""Recorded exchanges with OpenRouter: vcrpy, set up for this API.

Requests match on method, address and body. Every recorded exchange must be played, once. Nothing
secret is written, and what was written is read again to be sure. A stream is replayed in pieces
of several sizes, as a network would bring it; `Retry-After` is not slept.
"""

from __future__ import annotations

import itertools
import json
import threading
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from unittest import mock
from urllib.parse import urlsplit, urlunsplit

import httpx2
import vcr
from vcr.errors import CannotOverwriteExistingCassetteException
from vcr.record_mode import RecordMode

from langchain_openrouter._http import clients
from langchain_openrouter._http.urls import BASE_URL, is_loopback
from langchain_openrouter._version import VERSION
from langchain_openrouter.testing.cassettes._mismatch import (
    CassetteError,
    difference,
    pretty,
    to_bytes,
)
from langchain_openrouter.testing.cassettes._scrubbing import Scrubber, unnumbered
from langchain_openrouter.testing.cassettes._serializer import (
    Files,
    LeakError,
    Readable,
    UnreadableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["CassetteError", "Exchange", "LeakError", "Recording", "use_cassette"]

Record: TypeAlias = Literal["none", "once", "all"]
_SITE = urlsplit(BASE_URL)
_MATCH_ON = ("method", "scheme", "host", "port", "path", "api_query", "json_body")
_REQUEST_HEADERS = {"accept", "content-type", "http-referer", "x-session-id", "x-anthropic-beta"}
_RESPONSE_HEADERS = {"content-type", "x-generation-id", "retry-after", "location", "allow"}
_OPEN_HEADERS = ("x-openrouter-", "x-ratelimit-")
_PIECES = (1, 7, 64, 1000)
_SHOWN = 300  # characters of a body that was not played
_LISTED = 20  # exchanges that were not played
EMULATOR = f"the emulator of langchain-openrouter-oauth {VERSION}"
LIVE = "the live service, https://openrouter.ai"


class Exchange:
    """One request and its answer, as recorded or replayed."""

    def __init__(self, request: Any, response: Mapping[str, Any]) -> None:
        self.method: str = request.method
        self.path: str = urlsplit(request.uri).path.removeprefix(_SITE.path)
        self.raw: bytes = to_bytes(request.body)
        self.status: int = response["status"]["code"]
        self.answer: bytes = to_bytes(response["body"]["string"])

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
    remedy: str | None = None,
) -> Iterator[Recording]:
    """Replay a cassette, or record one.

    Args:
        path: A YAML file.
        record: "none" replays; "once" records where there is no file; "all" records anew.
        origin: What is recorded against: `EMULATOR` or `LIVE`; written into the first line.
        pieces: Bytes of each piece of a replayed body, in turn.
        remedy: The last line of an error: how to record anew.

    Raises:
        CassetteError: A request that is not recorded, with the difference to the nearest one; a
            request to another host than OpenRouter's; a file that is no cassette; or, at the end,
            an exchange that was not played.
        LeakError: A recording held a secret, and was not written.
    """
    scrubber = Scrubber()
    remedy = remedy or f'record it anew: use_cassette({str(path)!r}, record="all")'
    today = datetime.now(UTC).date().isoformat()
    files = Files(f"{origin}, {today}", scrubber)
    recorder = _recorder(_mode(path, record), scrubber, files)
    with ExitStack() as stack:
        try:
            cassette = stack.enter_context(recorder.use_cassette(str(path), serializer="readable"))
        except UnreadableError as error:
            msg = f"{path} is no cassette: {error}\n{remedy}"
            raise CassetteError(msg) from None
        recording = Recording(cassette, replaying=cassette.record_mode == RecordMode.NONE)
        gate = _Gate(recording, None if recording.replaying else origin, remedy)
        stack.enter_context(_patched(recording, cassette, pieces, gate))
        yield recording
    if files.failure is not None:
        raise files.failure
    _check_end(recording, cassette, f"{path}: ", remedy)


def _recorder(mode: RecordMode, scrubber: Scrubber, files: Files) -> Any:
    recorder = vcr.VCR(
        record_mode=mode,
        match_on=_MATCH_ON,
        before_record_request=lambda request: _scrubbed_request(request, scrubber),
        before_record_response=lambda response: _scrubbed_response(response, scrubber),
        decode_compressed_response=True,
    )
    recorder.register_matcher("json_body", _same_body)
    recorder.register_matcher("api_query", _same_query)
    recorder.register_serializer("readable", Readable)
    recorder.register_persister(files)
    return recorder


def _check_end(recording: Recording, cassette: Any, where: str, remedy: str) -> None:
    """Raise what a test may have caught, or left."""
    if recording.failed:
        raise CassetteError(recording.failed[0])
    if recording.replaying and not cassette.all_played:
        msg = f"{where}recorded, but nobody asked for it:\n{_unplayed(cassette)}\n{remedy}"
        raise CassetteError(msg)


def _unplayed(cassette: Any) -> str:
    """Return a line or more for each exchange that was not played."""
    requests = [
        f"{request.method} {request.path} {pretty(request.body)[:_SHOWN]}"
        for number, request in enumerate(cassette.requests)
        if not cassette.play_counts[number]
    ]
    rest = len(requests) - _LISTED
    return "\n".join([*requests[:_LISTED], *([f"… and {rest} more"] if rest > 0 else [])])


def _mode(path: str | Path, record: Record) -> RecordMode:
    if record == "all":
        Path(path).unlink(missing_ok=True)
        return RecordMode.ALL
    if record == "once" and not Path(path).is_file():
        return RecordMode.ALL
    return RecordMode.NONE


# --- on the way -------------------------------------------------------------------------------


class _Gate:
    """What a request must pass: it is for OpenRouter, and the cassette holds it.

    Args:
        recording: Remembers each failure, since a test may catch the error.
        origin: What is recorded against; None replays.
        remedy: The last line of an error.
    """

    def __init__(self, recording: Recording, origin: str | None, remedy: str) -> None:
        self._recording = recording
        self._origin = origin
        self._remedy = remedy

    def check(self, request: httpx2.Request) -> None:
        """Refuse a host that is not the cassette's, before anything is sent."""
        host, path = request.url.host, request.url.path
        if is_loopback(host):
            return
        if not _is_site(host):
            reason = "which is not OpenRouter, and a cassette holds nothing else"
        elif self._origin == LIVE:
            return
        elif self._origin is not None:
            reason = (
                "but this recording is made against the emulator: leave `base_url` to "
                "OPENROUTER_BASE_URL, which is set while the test runs"
            )
        elif path.startswith(_SITE.path):
            return
        else:
            reason = "which is a page, not the API"
        self._fail(f"a request was going to {request.url.scheme}://{host}{path}, {reason}")

    def mismatch(self, cassette: Any, request: Any) -> None:
        """Say how a request differs from what the cassette holds."""
        self._fail(f"{difference(cassette, request)}\n{self._remedy}")

    def _fail(self, message: str) -> None:
        self._recording.failed.append(message)
        raise CassetteError(message) from None


def _is_site(host: str) -> bool:
    return host == _SITE.hostname or host.endswith(f".{_SITE.hostname}")


@contextmanager
def _patched(
    recording: Recording, cassette: Any, pieces: Sequence[int], gate: _Gate
) -> Iterator[None]:
    """Stand before vcrpy: readable failures, pieces, no encodings it cannot read, no waiting."""
    sync, unsync = httpx2.HTTPTransport, httpx2.AsyncHTTPTransport
    handle, ahandle = sync.handle_request, unsync.handle_async_request
    sizes = itertools.cycle(pieces)
    lock = threading.RLock()  # vcrpy's look and take are two steps

    def prepare(request: httpx2.Request) -> None:
        gate.check(request)
        request.headers["accept-encoding"] = "gzip"  # vcrpy reads no zstd

    def handle_request(self: Any, request: httpx2.Request) -> Any:
        prepare(request)
        if not recording.replaying:
            return handle(self, request)
        try:
            with lock:
                return _in_pieces(handle(self, request), sizes)
        except CannotOverwriteExistingCassetteException as error:
            gate.mismatch(cassette, error.failed_request)

    async def handle_async_request(self: Any, request: httpx2.Request) -> Any:
        prepare(request)
        if not recording.replaying:
            return await ahandle(self, request)
        try:
            with lock:  # nothing in here waits: the answer is in memory
                return _in_pieces(await ahandle(self, request), sizes)
        except CannotOverwriteExistingCassetteException as error:
            gate.mismatch(cassette, error.failed_request)

    with (
        mock.patch.object(sync, "handle_request", handle_request),
        mock.patch.object(unsync, "handle_async_request", handle_async_request),
        _no_waiting() if recording.replaying else nullcontext(),
    ):
        yield


def _no_waiting() -> Any:
    """Let retries follow at once."""
    return mock.patch.object(
        clients._ClientOverrides,  # noqa: SLF001 - where the SDK asks how long to wait
        "_calculate_retry_timeout",
        create=True,
        return_value=0.0,
    )


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
    host = parts.hostname or ""
    if not (is_loopback(host) or _is_site(host)):
        return None
    if not parts.path.startswith(_SITE.path):
        return None  # a page, not the API
    scrubber.headers(request.headers)
    request.uri = scrubber.uri(urlunsplit(parts._replace(scheme=_SITE.scheme, netloc=_SITE.netloc)))
    request.headers = _allowed(request.headers, _REQUEST_HEADERS, scrubber)
    body = request.body
    if body:
        request.body = scrubber.body(to_bytes(body), path=parts.path)
    return request


def _scrubbed_response(response: dict[str, Any], scrubber: Scrubber) -> dict[str, Any]:
    data = to_bytes(response["body"]["string"])
    response["headers"] = _allowed(response["headers"], _RESPONSE_HEADERS, scrubber)
    # A new key travels in the answer of the sign-in alone; a body tells which it is by its fields.
    path = "/auth/" if data.lstrip()[:1] == b"{" and b'"key"' in data else ""
    response["body"]["string"] = scrubber.body(data, path=path)
    return response


def _allowed(headers: Mapping[str, Any], names: set[str], scrubber: Scrubber) -> dict[str, Any]:
    allowed = {}
    for name, value in headers.items():
        if name.lower() in names or name.lower().startswith(_OPEN_HEADERS):
            scrub = scrubber.uri if name.lower() == "location" else scrubber.text
            values = value if isinstance(value, list) else [value]
            clean = [scrub(_str(item)) for item in values]
            allowed[name.lower()] = clean if isinstance(value, list) else clean[0]
    return dict(sorted(allowed.items()))


# --- what matches -----------------------------------------------------------------------------


def _same_body(request: Any, recorded: Any) -> None:
    """Match JSON by value, but for the order of what is sent; anything else by bytes."""
    _assert_same(pretty(request.body), pretty(recorded.body))


def _same_query(request: Any, recorded: Any) -> None:
    """Match the query, whichever secret was seen first."""
    _assert_same(*(unnumbered(urlsplit(r.uri).query.encode()) for r in (request, recorded)))


def _assert_same(requested: str | bytes, recorded: str | bytes) -> None:
    if requested != recorded:  # vcrpy's word for it; it reads no message of this one
        raise AssertionError


def _str(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
