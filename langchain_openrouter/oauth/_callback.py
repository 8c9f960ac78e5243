"""Parse what came back from the sign-in page: the code, or why there is none; no I/O.

Accepts a complete callback URL, its query, `code=...`, or the bare code: in quotes, wrapped by a
terminal, or without a scheme. Any text is accepted as a code.
"""

from __future__ import annotations

import hmac
import re
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

from langchain_openrouter.errors import SignInCodeError, SignInDeniedError, SignInError

_QUOTES = "\"'`<>\u201c\u201d\u2018\u2019"  # which mail and chat programs put around a code


class Callback(NamedTuple):
    """The path and the query of a callback. Must not be shown: it holds the code."""

    path: str | None
    query: dict[str, str]


def parse_callback(pasted: str) -> Callback:
    """Parse a URL, a query or a bare code."""
    text = re.sub(r"\s", "", pasted).strip(_QUOTES)
    text = text.partition("#")[0]
    path, mark, query = text.partition("?")

    if not mark:
        if "://" in text:
            return Callback(text, {})
        if not re.match(r"(?:code|error|state|error_description)=", text):
            return Callback(None, {"code": text})
        path, query = "", text

    fields = parse_qs(query, keep_blank_values=True)
    return Callback(path or None, {name: values[-1] for name, values in fields.items()})


def code_of(callback: Callback, nonce: str | None) -> str | SignInError:
    """Return the code, or the error that the callback stands for.

    Args:
        callback: The parsed callback.
        nonce: The nonce of the sign-in; None if no callback was requested. A path must end in it
            and a `state` must equal it, each if present. A bare code has neither and is accepted.

    See RFC 9700, 2.1 and 4.7: the exchange alone does not prove which sign-in a code is from.
    """
    code, state = callback.query.get("code", ""), callback.query.get("state")
    if nonce is not None:
        last = callback.path and unquote(callback.path.rstrip("/").rpartition("/")[2])
        # Both are compared: a matching `state` proves nothing about the path, and vice versa.
        if not all(equals_constant_time(text, nonce) for text in (last, state) if text is not None):
            return SignInCodeError("this callback belongs to another sign-in: begin a new one")

    if "error" in callback.query and not code:
        denied = callback.query["error"] in {"access_denied", "denied", ""}
        return SignInDeniedError(
            "the sign-in was denied on OpenRouter's page"
            if denied
            else "OpenRouter's page ended the sign-in with an error"
        )
    if not code:
        return SignInCodeError("no code was given: copy the code, or the whole address")
    return code


def equals_constant_time(first: str, second: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(
        first.encode("utf-8", "surrogatepass"), second.encode("utf-8", "surrogatepass")
    )
