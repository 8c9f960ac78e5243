"""What the service says of a code that it does not exchange."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from langchain_openrouter.errors import (
    SignInChallengeError,
    SignInCodeError,
    SignInError,
    SignInExpiredError,
    SignInRefusedError,
)

if TYPE_CHECKING:
    from langchain_openrouter._http import oneshot

# "Invalid code", or a list of what the validation found, where it is the code or the verifier.
_INVALID_CODE = re.compile(
    r"\binvalid (?:authorization )?code\b|\"path\":\s{0,8}\[\s{0,8}\"code(?:_verifier)?\"\s{0,8}\]"
)


def exchange_error(response: oneshot.Response) -> SignInError:
    """Return the error of a response without a key; its message quotes nothing of the response.

    A wrong code is 403 in the documentation, and 400 from the live service.
    """
    status = response.status
    error = response.error()
    message = str(error or "").lower()

    kind: type[SignInError] = SignInRefusedError
    what = f"OpenRouter refused the exchange with status {status}"
    if status in {400, 403} and "expired" in message:
        kind, what = SignInExpiredError, "the code has expired: it lives ten minutes"
    elif status == 400 and "method" in message:  # noqa: PLR2004 - HTTP
        kind, what = SignInChallengeError, "OpenRouter does not take the challenge method S256"
    elif status == 403 or (status == 400 and _INVALID_CODE.search(message)):  # noqa: PLR2004 - HTTP
        kind, what = SignInCodeError, "the code is wrong, or was used before"
    elif status == 200:  # noqa: PLR2004 - HTTP
        what = "OpenRouter's answer holds no key"

    wait = error.retry_after if error else None
    advice = "begin a new sign-in" if wait is None else f"wait {wait:g} s and begin a new sign-in"
    return kind(f"{what} - {advice}", code=status, retry_after=wait)
