"""Complete the errors of a request: redaction, and the settings page of the key's owner."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from langchain_openrouter._http.error_mapping import redact_error
from langchain_openrouter._redaction import prompt_text
from langchain_openrouter.errors import InsufficientCreditsError, OpenRouterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_openrouter._http.transport import ApiResponse


@contextmanager
def error_context(response: ApiResponse, *, prompt: Any = None) -> Iterator[None]:
    """Complete the errors that are raised inside with what only the request knows.

    An error's message quotes neither the prompt nor the key that was sent. An
    `InsufficientCreditsError` names the page where the owner of that key can act.

    The response's call ends with this context: done, failed, or stopped by its reader.

    Args:
        response: The response to the request.
        prompt: The request's messages, or the text of the user that must not be quoted.
    """
    call = response.call
    try:
        yield
    except OpenRouterError as error:
        if call is not None:
            call.end_with(error)

        text = prompt if isinstance(prompt, str) else prompt_text(prompt)
        redact_error(error, prompt=text, key=response.key)
        if isinstance(error, InsufficientCreditsError) and response.settings_url:
            error.settings_url = response.settings_url
        raise
    except BaseException as error:
        if call is not None:
            call.end_with(error)
        raise
    else:
        if call is not None:
            call.end_with(None)
