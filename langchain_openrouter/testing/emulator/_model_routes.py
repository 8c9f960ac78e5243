"""The emulator's routes that need no key: models, their endpoints, providers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from langchain_openrouter.testing.emulator import _catalog
from langchain_openrouter.testing.emulator._accounts import ApiRefusal
from langchain_openrouter.testing.emulator._responses import to_json, to_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from langchain_openrouter.testing.emulator._script import ReceivedRequest

__all__ = ["ModelRoutes"]


class ModelRoutes:
    """The routes of the catalog.

    Args:
        record: Records a request, and returns it.
    """

    def __init__(self, record: Callable[[Request], Awaitable[ReceivedRequest]]) -> None:
        self._record = record

    def routes(self, api: str) -> list[Route]:
        """Return the routes.

        Args:
            api: The path of the API.
        """
        model = "{author}/{slug}"

        return [
            Route(f"{api}/models", self._models, methods=["GET"]),
            Route(f"{api}/models/count", self._count, methods=["GET"]),
            Route(f"{api}/model/{model}", self._model, methods=["GET"]),
            Route(f"{api}/models/{model}/endpoints", self._endpoints, methods=["GET"]),
            Route(f"{api}/providers", self._providers, methods=["GET"]),
        ]

    async def _models(self, request: Request) -> Response:
        return to_json(_catalog.listing((await self._record(request)).query))

    async def _count(self, request: Request) -> Response:
        await self._record(request)
        return to_json({"data": {"count": len(_catalog.MODELS)}})

    async def _model(self, request: Request) -> Response:
        return await self._with_model(request, lambda model: {"data": model})

    async def _endpoints(self, request: Request) -> Response:
        return await self._with_model(request, _catalog.endpoints)

    async def _with_model(
        self, request: Request, respond: Callable[[Mapping[str, Any]], dict[str, Any]]
    ) -> Response:
        """Respond to a request for a model of the list."""
        await self._record(request)
        model = _catalog.find_model("{author}/{slug}".format(**request.path_params))
        if model is None:
            return to_response(ApiRefusal(404, "Model not found"))
        return to_json(respond(model))

    async def _providers(self, request: Request) -> Response:
        await self._record(request)
        return to_json(_catalog.providers())
