"""What the emulator's Batch API refuses: at once with a status, or later by failing the batch.

See https://openrouter.ai/docs/batch-quickstart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_dicts, get_list, get_str
from langchain_openrouter.testing.emulator import _catalog
from langchain_openrouter.testing.emulator._accounts import ApiRefusal
from langchain_openrouter.testing.emulator._validation import validation_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BATCH_ENDPOINTS", "invalid_request", "validate_batch"]

BATCH_ENDPOINTS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings")
_FIELDS = ("endpoint", "model", "callback_url", "completion_window", "provider", "requests")
_PREFERENCES = {"only", "allow_fallbacks"}


def validate_batch(body: Any, max_requests: int) -> None:
    """Check what the service checks before it accepts a batch.

    Args:
        body: The JSON of `POST /batches`.
        max_requests: How many requests it may have.

    Raises:
        ApiRefusal: The batch is refused.
    """
    if not isinstance(body, dict):
        raise ApiRefusal(400, "Invalid input: expected object")
    if problem := _problem_of_fields(body) or _problem_of_requests(body, max_requests):
        raise ApiRefusal(400, problem)

    slug = str(body["model"])
    if _catalog.find_batch_model(slug) is None:
        raise ApiRefusal(404, f"No batch endpoint is available for {slug}")


def _problem_of_fields(body: Mapping[str, Any]) -> str | None:
    """Return the first problem of the fields beside the requests."""
    names, endpoint = list(body), body.get("endpoint")
    unknown = ", ".join(sorted(set(names) - set(_FIELDS)))
    extra = ", ".join(
        f'"{n}"' for n in sorted(set(get_dict(body, "provider") or ()) - _PREFERENCES)
    )
    callback = str(body.get("callback_url") or "https://")

    problems = {
        "`requests` must come after all other fields": names[-1:] != ["requests"],
        f"Unrecognized keys: {unknown}": bool(unknown),
        f"endpoint: Invalid option: {endpoint!r}": endpoint not in BATCH_ENDPOINTS,
        "model: Invalid input: expected string": not get_str(body, "model"),
        'completion_window: expected "24h"': body.get("completion_window", "24h") != "24h",
        "callback_url: must be an https URL": not callback.startswith("https://"),
        f"provider: Unrecognized keys: {extra}": bool(extra),
    }
    return next((problem for problem, is_so in problems.items() if is_so), None)


def _problem_of_requests(body: Mapping[str, Any], max_requests: int) -> str | None:
    requests = get_list(body, "requests")
    if not requests:
        return "requests: expected a non-empty array"
    if len(requests) > max_requests:
        return f"requests: expected at most {max_requests} items"

    names: set[str] = set()
    for index, request in enumerate(requests):
        name = get_str(request, "custom_id")
        if name is None or get_dict(request, "body") is None:
            return f"requests[{index}]: expected custom_id and body"
        if name in names:
            return f"requests[{index}].custom_id: {name} is not unique"
        names.add(name)
    return None


def invalid_request(body: Mapping[str, Any]) -> str | None:
    """Return why a batch that was accepted fails its validation; None if it does not.

    Args:
        body: The JSON of `POST /batches`.
    """
    endpoint, model = body["endpoint"], body["model"]
    for request in get_dicts(body, "requests"):
        problem = _problem_of_body(endpoint, model, request["body"])
        if problem is not None:
            return f"{request['custom_id']}: {problem}"
    return None


def _problem_of_body(endpoint: str, model: str, body: Mapping[str, Any]) -> str | None:
    """Return the first problem of one request's body."""
    refused = _REFUSED.get(endpoint)
    if body.get("model", model) != model:
        return "model does not match the batch's"
    if refused is None:
        return f"the emulator runs no batches of {endpoint}"

    present = [name for name in refused if body.get(name)]
    if present:
        return f"{', '.join(present)}: not supported in a batch"
    if endpoint == "/v1/embeddings":
        return None
    parts = [part for m in get_dicts(body, "messages") for part in get_dicts(m, "content")]
    if any(part.get("type") != "text" for part in parts):
        return "only text is supported in a batch"
    return "; ".join(validation_errors({**body, "model": model})[:3]) or None


_REFUSED = {
    "/v1/chat/completions": (
        "audio",
        "deferred_tools",
        "image_config",
        "modalities",
        "provider",
        "stream",
    ),
    "/v1/embeddings": ("input_type", "provider"),
}
