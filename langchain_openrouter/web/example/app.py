"""The example: a chat page where each visitor uses their own OpenRouter account.

Without a build step or external assets; works by keyboard and on a phone, in light and dark mode.
The conversation stays in the browser's tab (`sessionStorage`), until the visitor signs out.
"""

from __future__ import annotations

import contextlib
import gc
import os
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from langchain_core.stores import InMemoryByteStore
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from langchain_openrouter._json import parse_json
from langchain_openrouter.catalog import Catalog
from langchain_openrouter.chat_models import ChatOpenRouter
from langchain_openrouter.errors import OpenRouterError
from langchain_openrouter.key_store._redis import RedisStore
from langchain_openrouter.settings import OpenRouterSettings
from langchain_openrouter.web._bodies import BodyError, media_type, read_body
from langchain_openrouter.web._pages import HEADERS
from langchain_openrouter.web.sign_in import SignIn
from langchain_openrouter.web.streams import sse_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from typing import TypeAlias

    from langchain_core.stores import BaseStore
    from starlette.requests import Request

    _Route: TypeAlias = Callable[[Request], Awaitable[Response]]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_TYPES = {
    "chat.html": "text/html",
    "chat.css": "text/css",
    "chat.js": "text/javascript",
    "markdown.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_DEFAULT = "openai/gpt-4o-mini"
_MAX_MESSAGES = 200
_MAX_BODY = 1_000_000  # bytes
_ROLES = {"user", "assistant"}


def create_app(
    *,
    secret: str,
    store: BaseStore[str, bytes] | None = None,
    base_url: str | None = None,
    public_url: str | None = None,
    allowed_hosts: Sequence[str] | None = None,
) -> Starlette:
    """Return the app.

    Args:
        secret: 16 bytes or more, the same for all workers.
        store: Shared by all workers; None for a single worker.
        base_url: The API's base URL: OpenRouter's or an emulator's.
        public_url: The app's URL as browsers see it, if it is behind a proxy.
        allowed_hosts: The hosts that a request may name if there is no `public_url`.
    """
    settings = OpenRouterSettings(base_url=base_url)
    # Without a key: nothing can run on the operator's.
    model = ChatOpenRouter(model=_DEFAULT, settings=settings).model_copy(update={"api_key": None})
    catalog = Catalog(base_url=settings.base_url)
    sign_in = SignIn(
        secret=secret,
        store=store,
        base_url=settings.base_url,
        public_url=public_url,
        allowed_hosts=allowed_hosts,
        key_label="langchain-openrouter example",
    )

    return Starlette(
        routes=[
            Route("/", _asset("chat.html")),
            *(Route(f"/{name}", _asset(name)) for name in _TYPES if name != "chat.html"),
            Route("/api/chat", _chat(sign_in.user_model(model)), methods=["POST"]),
            Route("/api/models", _models(sign_in, catalog)),
            Mount("/auth", sign_in.router),
        ],
        lifespan=_without_collecting_imports,
    )


@contextlib.asynccontextmanager
async def _without_collecting_imports(_: Starlette) -> AsyncIterator[None]:
    """Let the garbage collector pass over what start-up has made, while the app runs.

    A full collection stops every stream for some 0.1 s otherwise: most objects are LangChain's.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def from_environment() -> Starlette:
    """Return the app for a worker process, configured by the environment."""
    redis_url = os.environ.get("OPENROUTER_WEB_REDIS")
    hosts = os.environ.get("OPENROUTER_WEB_ALLOWED_HOSTS")

    return create_app(
        secret=os.environ["OPENROUTER_WEB_SECRET"],
        store=RedisStore(redis_url, ttl=30 * 24 * 3600) if redis_url else InMemoryByteStore(),
        base_url=os.environ.get("OPENROUTER_BASE_URL"),
        public_url=os.environ.get("OPENROUTER_WEB_PUBLIC_URL"),
        allowed_hosts=hosts.split(",") if hosts else None,
    )


def _chat(user_model: Callable[[Request], Awaitable[ChatOpenRouter]]) -> _Route:
    async def chat(request: Request) -> Response:
        # A form of another site can send other types without a CORS preflight.
        if media_type(request) != "application/json":
            return JSONResponse({"error": "the body must be application/json"}, 415)
        own = await user_model(request)
        try:
            body = parse_json(await read_body(request, _MAX_BODY))
        except BodyError as error:
            return JSONResponse({"error": str(error)}, error.status)
        except (ValueError, RecursionError):
            return JSONResponse({"error": "the body is not JSON"}, 400)

        messages = _messages(body)
        if messages is None:
            return JSONResponse({"error": "messages: a list of {role, content}"}, 422)
        slug = body.get("model")
        if isinstance(slug, str) and slug:
            own = own.model_copy(update={"model_name": slug})
        return sse_response(own, messages)

    return chat


def _models(sign_in: SignIn, catalog: Catalog) -> _Route:
    async def models(request: Request) -> Response:
        visitor = await sign_in.visitor(request)
        if visitor is None:
            return JSONResponse({"error": "sign in first"}, 401)

        try:
            available = await catalog.for_user(visitor.key).auser_models()
        except OpenRouterError as error:
            return JSONResponse({"error": str(error)}, 502)

        rows = [{"id": model.id, "name": model.name or model.id} for model in available]
        return JSONResponse(rows, headers=HEADERS)

    return models


def _asset(name: str) -> _Route:
    text = (
        files("langchain_openrouter.web.example")
        .joinpath("static", name)
        .read_text(encoding="utf-8")
    )
    headers = {**HEADERS, "Content-Security-Policy": _POLICY}

    async def asset(_: Request) -> Response:
        return Response(text, media_type=_TYPES[name], headers=headers)

    return asset


def _messages(body: Any) -> list[tuple[str, str]] | None:
    """Return the conversation that a page sent; None if it is not valid."""
    rows = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(rows, list) or not rows or len(rows) > _MAX_MESSAGES:
        return None
    messages = []

    for row in rows:
        role, content = (row.get("role"), row.get("content")) if isinstance(row, dict) else (0, 0)
        if not isinstance(role, str) or role not in _ROLES or not isinstance(content, str):
            return None
        messages.append((role, content))
    return messages
