"""What all errors of a request share: nothing private is quoted, the key owner's page is named."""

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

    The one place of redaction: an error's message quotes neither the prompt nor the key that was
    sent. Errors about money say on which page the owner of that key can act.

    Args:
        response: Of the request.
        prompt: The request's messages, or the user's own words in it.
    """
    try:
        yield
    except OpenRouterError as error:
        text = prompt if isinstance(prompt, str) else prompt_text(prompt)
        redact_error(error, prompt=text, key=response.key)
        if isinstance(error, InsufficientCreditsError) and response.settings_url:
            error.settings_url = response.settings_url
        raise
