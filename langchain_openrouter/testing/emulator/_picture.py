"""A picture for image replies: a landscape whose colors and hills follow from the prompt."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
import zlib
from functools import lru_cache

__all__ = ["draw"]

_WIDTH, _HEIGHT = 256, 160  # pixels
_TRUE_COLOR, _BITS = 2, 8
_SUN, _BLUE, _GREEN = bytes((255, 226, 150)), bytes((40, 110, 200)), bytes((40, 90, 30))


@lru_cache(maxsize=64)
def draw(prompt: str) -> str:
    """Return a PNG as a data URL; the same prompt gives the same picture.

    Args:
        prompt: What the picture is requested for.
    """
    seed = hashlib.sha256(prompt.encode()).digest()
    sky, land = _mix(seed[0:3], _BLUE), _mix(seed[3:6], _GREEN)
    sun_x, sun_y, radius = 40 + seed[6] % 176, 30 + seed[7] % 40, 12 + seed[8] % 14
    hills = [_hill_top(x, seed[9], seed[10]) for x in range(_WIDTH)]

    rows = bytearray()
    for y in range(_HEIGHT):
        rows.append(0)  # no filter
        air = bytes(color + (255 - color) * y // _HEIGHT for color in sky)
        for x in range(_WIDTH):
            if y > hills[x]:
                rows += land
            elif (x - sun_x) ** 2 + (y - sun_y) ** 2 < radius**2:
                rows += _SUN
            else:
                rows += air

    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, _BITS, _TRUE_COLOR, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _mix(color: bytes, base: bytes) -> bytes:
    """Return a color between two, nearer to the second."""
    return bytes((a + 3 * b) // 4 for a, b in zip(color, base, strict=True))


def _hill_top(x: int, steepness: int, shift: int) -> float:
    """Return the row in which the land begins."""
    wave = math.sin(x / (24 + steepness % 30) + shift) + math.sin(x / 11 + shift) / 3
    return 110 - 16 * wave


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)
