"""Server-sent events: bytes in, data out; pure.

See https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

DONE = b"[DONE]"
"""The data of the event that ends a stream."""

_ENDS = 2  # line ends of an event with one line of data


class Events:
    """Bytes in, `data` out: the lines may be cut anywhere and end in LF, CRLF or CR.

    See https://html.spec.whatwg.org/multipage/server-sent-events.html. Each byte is looked at
    once, so that an image of many megabytes on one line costs no more than its size.
    """

    def __init__(self) -> None:
        self._tail: list[bytes] = []
        self._data: list[bytes] = []
        self._after_cr = False
        self._first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that this chunk completes."""
        if (
            chunk.startswith(b"data: ")
            and chunk.endswith(b"\n\n")
            and chunk.count(b"\n") == _ENDS  # one whole event, as a live service flushes them
            and not (self._tail or self._data or b"\r" in chunk)
        ):
            self._after_cr = self._first = False
            return [chunk[6:-2]]
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r") if chunk else self._after_cr
        if b"\n" not in chunk and b"\r" not in chunk:
            self._tail.append(chunk)
            return []
        lines = b"".join((*self._tail, chunk)).splitlines(keepends=False)
        self._tail = [] if chunk.endswith((b"\n", b"\r")) else [lines.pop()]
        return self._events(lines)

    def end(self) -> list[bytes]:
        """Return an event that the end of the body completes."""
        lines, self._tail = b"".join(self._tail).splitlines(), []
        return self._events([*lines, b""])

    def _events(self, lines: list[bytes]) -> list[bytes]:
        found: list[bytes] = []
        for line in lines:
            if self._first:
                self._first = False
                line = line.removeprefix(b"\xef\xbb\xbf")  # noqa: PLW2901 - a byte order mark
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and self._data:
                found.append(b"\n".join(self._data))
                self._data = []
        return found
