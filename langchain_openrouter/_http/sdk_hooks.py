"""Check the SDK's private hooks, which `clients` overrides and calls."""

from __future__ import annotations

import inspect

import openai
from openai._base_client import AsyncAPIClient, BaseClient, SyncAPIClient

# The methods that `clients` overrides, or calls with these arguments. Checked at import, so that an
# incompatible SDK fails early, with the name of the method.
_HOOKS: tuple[tuple[type, str, tuple[str, ...]], ...] = (
    (BaseClient, "_build_headers", ("options", "retries_taken")),
    (BaseClient, "_custom_auth", ("security",)),
    (BaseClient, "_should_retry", ("response",)),
    (BaseClient, "_parse_retry_after_header", ("response_headers",)),
    (BaseClient, "_make_status_error_from_response", ("response",)),
    (BaseClient, "_calculate_retry_timeout", ("remaining_retries", "options", "response_headers")),
    (SyncAPIClient, "_send_request", ("request", "stream", "kwargs")),
    (AsyncAPIClient, "_send_request", ("request", "stream", "kwargs")),
    (SyncAPIClient, "request", ("cast_to", "options", "stream")),
    (AsyncAPIClient, "request", ("cast_to", "options", "stream")),
)


def check_sdk(hooks: tuple[tuple[type, str, tuple[str, ...]], ...] = _HOOKS) -> None:
    """Check that the SDK still has the hooks that are overridden in `clients`.

    Raises:
        ImportError: One is missing or takes other arguments; the message names it and says what to
            install.
    """
    for owner, name, parameters in hooks:
        hook = inspect.getattr_static(owner, name, None)
        has = set(inspect.signature(hook).parameters) if callable(hook) else set()
        if hook is None or not has.issuperset(parameters):
            msg = (
                f"openai {openai.__version__} has changed {owner.__name__}.{name}, which "
                "langchain-openrouter-oauth relies on: upgrade langchain-openrouter-oauth, or "
                "install an earlier openai"
            )
            raise ImportError(msg)

    if inspect.getattr_static(BaseClient, "custom_auth", None) is None:
        msg = f"openai {openai.__version__} has no BaseClient.custom_auth: install an earlier one"
        raise ImportError(msg)
