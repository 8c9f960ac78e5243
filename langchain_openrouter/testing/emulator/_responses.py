"""The emulator's responses that are plain JSON: a body, or a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from langchain_openrouter.testing.emulator._fault_injection import COOKIE

if TYPE_CHECKING:
    from langchain_openrouter.testing.emulator._accounts import ApiRefusal

__all__ = ["to_error_object", "to_json", "to_response"]


def to_json(body: Any) -> Response:
    """Return a response with a JSON body."""
    return JSONResponse(body, headers={"set-cookie": COOKIE.format("json")})


def to_response(refusal: ApiRefusal, *, signed_in: bool = True) -> Response:
    """Return the service's response to a refused request; it names a user who is signed in."""
    body: dict[str, Any] = {"error": to_error_object(refusal)}
    if signed_in and refusal.status not in {401, 404, 405}:
        body["user_id"] = "user_emulated"
    return JSONResponse(body, refusal.status, refusal.headers)


def to_error_object(refusal: ApiRefusal) -> dict[str, Any]:
    """Return the `error` of a refusal."""
    error: dict[str, Any] = {"message": refusal.message, "code": refusal.status}
    return {**error, "metadata": refusal.metadata} if refusal.metadata else error
