"""What came back from the sign-in page -> the code, or why there is none; pure.

A whole callback URL, its query, `code=...`, or the bare code, as people and browsers hand them
over: in quotes, broken by a terminal, without a scheme. No pattern is imposed on the code.
"""

from __future__ import annotations

import hmac
import re
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

from langchain_openrouter.errors import InvalidCodeError, SignInDeniedError, SignInError

_AROUND = "\"'`<>\u201c\u201d\u2018\u2019"  # quotes that mail and chat programs put around a code


class Callback(NamedTuple):
    """A callback, taken apart. Never shown: it holds the code."""

    path: str | None
    query: dict[str, str]


def callback_of(pasted: str) -> Callback:
    """Take apart what was pasted."""
    text = re.sub(r"\s", "", pasted).strip(_AROUND)
    text = text.partition("#")[0]
    path, mark, query = text.partition("?")
    if not mark:
        if "://" in text:
            return Callback(text, {})
        if not re.match(r"(?:code|error|state|error_description)=", text):
            return Callback(None, {"code": text})
        path, query = "", text
    values = parse_qs(query, keep_blank_values=True)
    return Callback(path or None, {name: found[-1] for name, found in values.items()})


def code_of(callback: Callback, nonce: str | None) -> str | SignInError:
    """Return the code, or the error that the callback tells.

    Args:
        callback: What came back.
        nonce: That of the sign-in that waits; None where no callback was requested. A path must
            end in it and a `state` must equal it, each where present. A bare code carries neither
            and is taken on its owner's word.

    See RFC 9700, 2.1 and 4.7: the exchange alone does not prove whose sign-in a code is from.
    """
    code, state = callback.query.get("code", ""), callback.query.get("state")
    if nonce is not None:
        last = callback.path and unquote(callback.path.rstrip("/").rpartition("/")[2])
        # Each is compared: a right `state` says nothing of the path, nor the other way round.
        if not all(same(text, nonce) for text in (last, state) if text is not None):
            return InvalidCodeError("this callback belongs to another sign-in: begin a new one")
    if "error" in callback.query and not code:
        denied = callback.query["error"] in {"access_denied", "denied", ""}
        return SignInDeniedError(
            "the sign-in was denied on OpenRouter's page"
            if denied
            else "OpenRouter's page ended the sign-in with an error"
        )
    if not code:
        return InvalidCodeError("no code was given: copy the code, or the whole address")
    return code


def same(first: str, second: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(
        first.encode("utf-8", "surrogatepass"), second.encode("utf-8", "surrogatepass")
    )
