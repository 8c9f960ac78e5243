"""Decode server-sent events: bytes in, data out; no I/O.

httpx2 has an `EventSource` of its own; this decoder takes a third of its time (1.35 against 4.3 us
an event) and bounds what one event may hold.
See https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

from dataclasses import replace

from langchain_openrouter._http.limits import limit_exceeded, response_limits

DONE = b"[DONE]"
"""The data of the event that ends a stream."""

_NEWLINES_OF_ONE_EVENT = 2  # of an event with one line of data
_LINE_OVERHEAD = 64  # bytes of memory that a line costs beside its own


class SSEDecoder:
    """Decodes a stream whose lines may be cut anywhere and end in LF, CRLF or CR.

    Decoding takes time linear in the size, however the lines are cut: an image of many megabytes
    on one line too.
    """

    def __init__(self) -> None:
        self._tail: list[bytes] = []
        self._data: list[bytes] = []
        self._after_cr = False
        self._first = True

        self._tail_size = 0
        self._data_size = 0
        self._ignored = 0
        self._total = 0
        self._limits = replace(response_limits)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of the events that this chunk completes.

        Raises:
            LimitExceededError: An event, the comments between two, or the stream are too large.
        """
        self._total += len(chunk)
        if (
            chunk.startswith(b"data: ")
            and chunk.endswith(b"\n\n")
            and chunk.count(b"\n") == _NEWLINES_OF_ONE_EVENT  # as a live service flushes them
            and not (self._tail or self._data or b"\r" in chunk)
        ):
            self._after_cr = self._first = False
            self._ignored = 0
            if self._total > self._limits.stream:
                self._check_sizes()
            return [chunk[6:-2]]

        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r") if chunk else self._after_cr
        if b"\n" not in chunk and b"\r" not in chunk:
            self._tail.append(chunk)
            self._tail_size += len(chunk)
            self._check_sizes()
            return []

        lines = b"".join((*self._tail, chunk)).splitlines(keepends=False)
        self._tail = [] if chunk.endswith((b"\n", b"\r")) else [lines.pop()]
        self._tail_size = sum(map(len, self._tail))
        events = self._take_lines(lines)
        self._check_sizes()
        return events

    def flush(self) -> list[bytes]:
        """Return the data of an event that the end of the body completes."""
        lines, self._tail = b"".join(self._tail).splitlines(), []
        return self._take_lines([*lines, b""])

    def _take_lines(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if self._first:
                self._first = False
                line = line.removeprefix(b"\xef\xbb\xbf")  # noqa: PLW2901 - a byte order mark

            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
                self._data_size += len(line) + _LINE_OVERHEAD
            elif not line and self._data:
                events.append(b"\n".join(self._data))
                self._data = []
                self._data_size = self._ignored = 0
            else:
                self._ignored += len(line) + 1
        return events

    def _check_sizes(self) -> None:
        sizes = {
            "event": self._tail_size + self._data_size,
            "comments": self._ignored,
            "stream": self._total,
        }

        for name, size in sizes.items():
            limit = getattr(self._limits, name)
            if size > limit:
                error = limit_exceeded(name, limit)
                raise error
