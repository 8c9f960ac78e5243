"""What all errors of a request share: the sent key is masked, its owner's page is named."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from langchain_openrouter import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

    from langchain_openrouter._transport import ApiResponse

_MASK = "[key]"
_MIN_KEY_LENGTH = 6  # characters; a shorter one, of a test, stands in ordinary words
_DETAILS = ("metadata", "availability", "provider", "error_type", "generation_id")


@contextmanager
def error_context(response: ApiResponse) -> Iterator[None]:
    """Complete the errors that are raised inside with what only the request knows.

    The key that was sent is masked wherever an error may show it, whatever it looks like; errors
    about money say on which page the owner of that key can act.
    """
    try:
        yield
    except errors.OpenRouterError as error:
        if response.key is not None and len(response.key) >= _MIN_KEY_LENGTH:
            _mask_key(error, response.key)
        if isinstance(error, errors.InsufficientCreditsError) and response.settings_url:
            error.settings_url = response.settings_url
        raise


def _mask_key(error: errors.OpenRouterError, key: SecretStr) -> None:
    error.args = tuple(_masked(argument, key) for argument in error.args)
    for name in _DETAILS:
        setattr(error, name, _masked(getattr(error, name), key))
    if error.__cause__ is not None:
        error.__cause__.args = tuple(_masked(argument, key) for argument in error.__cause__.args)


def _masked(value: Any, key: SecretStr) -> Any:
    """Return a JSON value with the key replaced, at any depth."""
    if isinstance(value, str):
        return value.replace(key.get_secret_value(), _MASK)
    if isinstance(value, dict):
        return {_masked(name, key): _masked(item, key) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, key) for item in value]
    return value
