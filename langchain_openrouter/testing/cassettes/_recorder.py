"""Recorded exchanges with OpenRouter: vcrpy, set up for this API.

Requests match on method, address and body. Every recorded exchange must be played, once. Nothing
secret is written, and what was written is read again to be sure. A stream is replayed in pieces
of several sizes, as a network would deliver it; retries do not wait for `Retry-After`.
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
from urllib.parse import urlsplit

import httpx2
import vcr
from vcr.errors import CannotOverwriteExistingCassetteException
from vcr.record_mode import RecordMode

from langchain_openrouter._distribution import VERSION
from langchain_openrouter._http import clients
from langchain_openrouter._http.urls import is_loopback
from langchain_openrouter.testing.cassettes._filters import (
    API_PATH,
    is_openrouter,
    match_body,
    match_query,
    scrub_request,
    scrub_response,
)
from langchain_openrouter.testing.cassettes._index import BodyDigests, RequestIndex
from langchain_openrouter.testing.cassettes._mismatch import (
    CassetteError,
    difference,
    pretty,
    to_bytes,
)
from langchain_openrouter.testing.cassettes._scrubbing import Scrubber
from langchain_openrouter.testing.cassettes._serializer import (
    LeakError,
    ScrubbingPersister,
    UnreadableError,
    YamlSerializer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["CassetteError", "Exchange", "LeakError", "Recording", "use_cassette"]

Record: TypeAlias = Literal["none", "once", "all"]
_MATCH_ON = ("method", "scheme", "host", "port", "path", "api_query", "json_body")
_PIECES = (1, 7, 64, 1000)
_SHOWN = 300  # characters of a body that was not played
_LISTED = 20  # exchanges that were not played
EMULATOR = f"the emulator of langchain-openrouter-oauth {VERSION}"
LIVE = "the live service, https://openrouter.ai"


class Exchange:
    """A request and its response, as recorded or replayed.

    Attributes:
        method: Of the request.
        path: Under the API's base.
        raw: The body of the request.
        status: HTTP status of the response.
        answer: The body of the response.
    """

    def __init__(self, request: Any, response: Mapping[str, Any]) -> None:
        self.method: str = request.method
        self.path: str = urlsplit(request.uri).path.removeprefix(API_PATH)
        self.raw: bytes = to_bytes(request.body)
        self.status: int = response["status"]["code"]
        self.answer: bytes = to_bytes(response["body"]["string"])

    @property
    def body(self) -> Any:
        """The JSON of the request."""
        return json.loads(self.raw) if self.raw else None


class Recording:
    """A cassette in use.

    Attributes:
        replaying: Whether the responses are from the cassette.
        failed: A message for each request that was refused.
    """

    def __init__(self, cassette: Any, *, replaying: bool) -> None:
        self._cassette = cassette
        self.replaying = replaying
        self.failed: list[str] = []

    @property
    def exchanges(self) -> list[Exchange]:
        """The exchanges so far, in order."""
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

    Yields:
        The recording, with its exchanges.

    Raises:
        CassetteError: A request that is not recorded, with the difference to the nearest one; a
            request to another host than OpenRouter's; a file that is not a cassette; or, at the
            end, an exchange that was not played.
        LeakError: A recording held a secret, and was not written.
    """
    scrubber = Scrubber()
    remedy = remedy or f'record it anew: use_cassette({str(path)!r}, record="all")'
    today = datetime.now(UTC).date().isoformat()
    persister = ScrubbingPersister(f"{origin}, {today}", scrubber)
    digests = BodyDigests()
    recorder = _recorder(_mode(path, record), scrubber, persister, digests)

    with ExitStack() as stack:
        try:
            cassette = stack.enter_context(recorder.use_cassette(str(path), serializer="readable"))
        except UnreadableError as error:
            msg = f"{path} is not a cassette: {error}\n{remedy}"
            raise CassetteError(msg) from None
        RequestIndex(cassette, digests).install()
        recording = Recording(cassette, replaying=cassette.record_mode == RecordMode.NONE)
        gate = _Gate(recording, None if recording.replaying else origin, remedy)
        stack.enter_context(_patched(recording, cassette, pieces, gate))
        yield recording

    if persister.failure is not None:
        raise persister.failure
    _check_end(recording, cassette, f"{path}: ", remedy)


def _recorder(
    mode: RecordMode, scrubber: Scrubber, persister: ScrubbingPersister, digests: BodyDigests
) -> Any:
    recorder = vcr.VCR(
        record_mode=mode,
        match_on=_MATCH_ON,
        before_record_request=lambda request: scrub_request(request, scrubber),
        before_record_response=lambda response: scrub_response(response, scrubber),
        decode_compressed_response=True,
    )

    def match_json(request: Any, recorded: Any) -> None:
        match_body(request, recorded, digests)

    recorder.register_matcher("json_body", match_json)
    recorder.register_matcher("api_query", match_query)
    recorder.register_serializer("readable", YamlSerializer)
    recorder.register_persister(persister)
    return recorder


def _check_end(recording: Recording, cassette: Any, where: str, remedy: str) -> None:
    """Raise for a refused request, whose error the test may have caught, or an unplayed one."""
    if recording.failed:
        raise CassetteError(recording.failed[0])
    if recording.replaying and not cassette.all_played:
        msg = f"{where}recorded, but not requested:\n{_unplayed(cassette)}\n{remedy}"
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


# --- while in use -----------------------------------------------------------------------------


class _Gate:
    """Refuses requests to other hosts than OpenRouter's, and those that the cassette lacks.

    Args:
        recording: Remembers each failure, since a test may catch the error.
        origin: What is recorded against; None replays.
        remedy: The last line of an error.
    """

    def __init__(self, recording: Recording, origin: str | None, remedy: str) -> None:
        self._recording = recording
        self._origin = origin
        self._remedy = remedy

    def prepare(self, request: httpx2.Request) -> None:
        """Refuse a request to a host that is not the cassette's, before anything is sent.

        An accepted request asks for an encoding that vcrpy reads.

        Raises:
            CassetteError: It is refused.
        """
        request.headers["accept-encoding"] = "gzip"  # vcrpy does not read zstd
        host, path = request.url.host, request.url.path

        if is_loopback(host):
            return
        if not is_openrouter(host):
            reason = "which is not OpenRouter, and a cassette holds nothing else"
        elif self._origin == LIVE:
            return
        elif self._origin is not None:
            reason = (
                "but this recording is made against the emulator: leave `base_url` to "
                "OPENROUTER_BASE_URL, which is set while the test runs"
            )
        elif path.startswith(API_PATH):
            return
        else:
            reason = "which is a page, not the API"
        self._fail(f"a request was going to {request.url.scheme}://{host}{path}, {reason}")

    def mismatch(self, cassette: Any, request: Any) -> None:
        """Refuse a request that the cassette lacks.

        Raises:
            CassetteError: Always, with the difference to the nearest recorded request.
        """
        self._fail(f"{difference(cassette, request)}\n{self._remedy}")

    def _fail(self, message: str) -> None:
        self._recording.failed.append(message)
        raise CassetteError(message) from None


@contextmanager
def _patched(
    recording: Recording, cassette: Any, pieces: Sequence[int], gate: _Gate
) -> Iterator[None]:
    """Patch the transports, before vcrpy's own patches.

    Requests pass the gate, ask for an encoding that vcrpy reads, and fail with a readable message;
    replayed responses come in pieces, and retries do not wait.
    """
    sync, asynchronous = httpx2.HTTPTransport, httpx2.AsyncHTTPTransport
    original, original_async = sync.handle_request, asynchronous.handle_async_request
    sizes = itertools.cycle(pieces)
    lock = threading.RLock()  # vcrpy finds and takes a response in two steps

    def handle_request(self: Any, request: httpx2.Request) -> Any:
        gate.prepare(request)
        if not recording.replaying:
            return original(self, request)

        try:
            with lock:
                return _in_pieces(original(self, request), sizes)
        except CannotOverwriteExistingCassetteException as error:
            gate.mismatch(cassette, error.failed_request)

    async def handle_async_request(self: Any, request: httpx2.Request) -> Any:
        gate.prepare(request)
        if not recording.replaying:
            return await original_async(self, request)

        try:
            with lock:  # nothing in here waits: the response is in memory
                return _in_pieces(await original_async(self, request), sizes)
        except CannotOverwriteExistingCassetteException as error:
            gate.mismatch(cassette, error.failed_request)

    with (
        mock.patch.object(sync, "handle_request", handle_request),
        mock.patch.object(asynchronous, "handle_async_request", handle_async_request),
        _no_waiting() if recording.replaying else nullcontext(),
    ):
        yield


def _no_waiting() -> Any:
    """Make retries follow at once."""
    return mock.patch.object(
        clients._ClientOverrides,  # noqa: SLF001 - the SDK's hook for the time to wait
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
