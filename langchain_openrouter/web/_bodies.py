"""Read a request's body, up to a limit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.requests import Request

_MAX_FORM = 4096  # bytes
_MAX_FIELDS = 8
_LENGTH = re.compile(r"[0-9]{1,15}")


class BodyError(Exception):
    """A body that is refused: the HTTP status, and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def media_type(request: Request) -> str:
    """Return the type of the body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body.

    Raises:
        BodyError: It is larger than `limit` bytes.
    """
    declared = request.headers.get("content-length", "0")
    body = bytearray()

    if _LENGTH.fullmatch(declared) and int(declared) <= limit:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise BodyError(413, f"the body must have at most {limit} bytes")


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a small form as HTML sends it.

    Raises:
        BodyError: It is larger than 4 KiB, has more than 8 fields, or is of another type.
    """
    if media_type(request) not in {"", "application/x-www-form-urlencoded"}:
        raise BodyError(415, "the form must be application/x-www-form-urlencoded")

    body = await read_body(request, _MAX_FORM)
    try:
        fields = parse_qs(body.decode("latin-1"), max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise BodyError(400, f"the form must have at most {_MAX_FIELDS} fields") from None
    return {name: values[-1] for name, values in fields.items()}
