"""The two forms of a chat request, by path: how each is read, refused and answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.responses import JSONResponse, Response

from langchain_openrouter.testing.emulator._rendering import render
from langchain_openrouter.testing.emulator._responses import to_error_object, to_response
from langchain_openrouter.testing.emulator._responses_rendering import (
    render_responses,
    to_error_body,
)
from langchain_openrouter.testing.emulator._responses_requests import parse_responses_request
from langchain_openrouter.testing.emulator._validation import validate_chat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_openrouter.testing.emulator._accounts import ApiRefusal
    from langchain_openrouter.testing.emulator._context import Context
    from langchain_openrouter.testing.emulator._rendering import RenderedResponse
    from langchain_openrouter.testing.emulator._replies import Reply

__all__ = ["FORMS", "Form"]


class Form(NamedTuple):
    """One form of a chat request."""

    parse: Callable[[Any, bool], Mapping[str, Any]]
    """Body, and whether slugs must be known -> the body of a chat request, or a refusal."""
    refuse: Callable[[ApiRefusal], Response]
    render: Callable[[Reply, Context, Any], RenderedResponse]
    """Reply, context, and the body as it came -> what to send."""


def _parse_chat(body: Any, strict_models: bool) -> Mapping[str, Any]:  # noqa: FBT001 - private
    validate_chat(body, strict_models=strict_models)
    parsed: Mapping[str, Any] = body
    return parsed


def _parse_responses(body: Any, strict_models: bool) -> Mapping[str, Any]:  # noqa: FBT001 - private
    return parse_responses_request(body, strict_models=strict_models)


def _refuse_responses(refusal: ApiRefusal) -> Response:
    body = to_error_body(to_error_object(refusal))
    return JSONResponse(body, refusal.status, refusal.headers)


FORMS = {
    "/chat/completions": Form(
        _parse_chat, to_response, lambda reply, context, _: render(reply, context)
    ),
    "/responses": Form(_parse_responses, _refuse_responses, render_responses),
}
"""By path, under the API's base."""
