"""The emulator's routes of the Batch API, and how it answers the requests of a batch."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from langchain_openrouter._json import get_dict
from langchain_openrouter.testing.emulator import _beside_chat, _catalog
from langchain_openrouter.testing.emulator._accounts import ApiRefusal
from langchain_openrouter.testing.emulator._batches import Batches, RowAnswer
from langchain_openrouter.testing.emulator._rendering import render
from langchain_openrouter.testing.emulator._replies import Reply
from langchain_openrouter.testing.emulator._responses import to_json, to_response
from langchain_openrouter.testing.emulator._routing import choose_route
from langchain_openrouter.testing.emulator._script import ReceivedRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from langchain_openrouter.testing.emulator._accounts import Accounts, Key
    from langchain_openrouter.testing.emulator._context import Context
    from langchain_openrouter.testing.emulator._payment import Payments
    from langchain_openrouter.testing.emulator._routing import Route as ModelRoute

__all__ = ["BatchRoutes"]

_ACCEPTED = 202
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}
_PATHS = {"/v1/chat/completions": "/chat/completions", "/v1/embeddings": "/embeddings"}


class BatchRoutes:
    """The routes `/batches` and `/batches/{id}`.

    Args:
        record: Records a request, and returns it.
        payments: Whose accounts pay.
        accounts: Where keys and the clock are.
        reply_to: Returns the scripted reply to a request, or the default.
        context: Makes the context of a reply.

    Attributes:
        batches: The batches; tests set how long they take, and cancel them.
        row_costs: Whether the usage of each row has its cost. The live service was seen to send
            the cost of the batch alone.
    """

    def __init__(
        self,
        record: Callable[[Request], Awaitable[ReceivedRequest]],
        *,
        payments: Payments,
        accounts: Accounts,
        reply_to: Callable[[ReceivedRequest], Reply],
        context: Callable[[Mapping[str, Any], ModelRoute], Context],
    ) -> None:
        self.batches = Batches(accounts.clock, self._answer)
        self.row_costs = False
        self._record = record
        self._payments = payments
        self._accounts = accounts
        self._reply_to = reply_to
        self._context = context

    def routes(self, api: str) -> list[Route]:
        """Return the routes.

        Args:
            api: The path of the API.
        """
        return [
            Route(f"{api}/batches", self._create, methods=["POST"]),
            Route(f"{api}/batches", self._list, methods=["GET"]),
            Route(f"{api}/batches/{{id}}", self._get, methods=["GET"]),
            Route(f"{api}/batches/{{id}}", self._delete, methods=["DELETE"]),
        ]

    async def _create(self, request: Request) -> Response:
        def create(received: ReceivedRequest, key: Key) -> Any:
            self._payments.require_credit(key)
            return self.batches.create(key, received.body, len(received.raw))

        return await self._respond(request, create, status=_ACCEPTED)

    async def _list(self, request: Request) -> Response:
        statuses = set(request.query_params.getlist("status"))
        return await self._respond(
            request, lambda received, key: self.batches.listing(key, received.query, statuses)
        )

    async def _get(self, request: Request) -> Response:
        batch_id = request.path_params["id"]
        return await self._respond(request, lambda _, key: self.batches.get(key, batch_id))

    async def _delete(self, request: Request) -> Response:
        batch_id = request.path_params["id"]
        return await self._respond(request, lambda _, key: self.batches.delete(key, batch_id))

    async def _respond(
        self,
        request: Request,
        act: Callable[[ReceivedRequest, Key], Any],
        status: int = 200,
    ) -> Response:
        """Respond to a request that has a key; in a thread, since rows are answered on the way."""
        received = await self._record(request)
        try:
            key = self._accounts.require_key(received.key)
            body = await asyncio.to_thread(act, received, key)
        except ApiRefusal as refusal:
            return to_response(refusal)

        response = to_json(body)
        response.status_code = status
        return response

    # --- the rows -------------------------------------------------------------------------

    def _answer(self, key: Key, endpoint: str, body: dict[str, Any]) -> RowAnswer:
        """Answer one request of a batch, and charge half the price for it."""
        raw = json.dumps(body).encode()
        headers = {"authorization": f"Bearer {key.secret}"}
        received = ReceivedRequest("POST", _PATHS[endpoint], headers, raw)
        try:
            route = _at_half_price(choose_route(body))
        except ApiRefusal as refusal:
            error = {"code": refusal.status, "message": refusal.message}
            return _to_error_row(Reply(error={**error, "metadata": refusal.metadata}))

        context = self._context(body, route)
        if endpoint == "/v1/embeddings":
            payload = _beside_chat.embeddings(body, context.generation_id)
            usage = {**payload["usage"], "cost": payload["usage"]["cost"] / 2}
        else:
            reply = self._reply_to(received)
            if reply.error is not None and reply.form == "status":
                return _to_error_row(reply)
            rendered = render(reply, context)
            payload = json.loads(b"".join(i for i in rendered.items if isinstance(i, bytes)))
            usage = dict(rendered.usage)

        self._accounts.charge(key, float(usage.get("cost") or 0))
        has_error = get_dict(payload, "error") is not None
        return RowAnswer(self._shown(payload), 400 if has_error else 200, usage=usage)

    def _shown(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return a body as a row has it: without its cost, unless the test wants it."""
        usage = get_dict(payload, "usage")
        if self.row_costs or usage is None:
            return payload
        costs = {"cost", "cost_details", "is_byok"}
        return {**payload, "usage": {n: v for n, v in usage.items() if n not in costs}}


def _at_half_price(route: ModelRoute) -> ModelRoute:
    model = _catalog.find_batch_model(route.model)
    pricing = {} if model is None else {"pricing": model["pricing"]}
    return replace(route, endpoint={**route.endpoint, **pricing})


def _to_error_row(reply: Reply) -> RowAnswer:
    """Return the row of a request that failed without a response."""
    error = dict(reply.error or {})
    metadata = get_dict(error, "metadata") or {}
    code = error.get("code")
    kind = _TYPES.get(code) if isinstance(code, int) else None
    row = {
        "message": str(error.get("message", "")),
        "type": str(error.get("type") or kind or "server_error"),
        "param": None,
    }

    if isinstance(metadata.get("error_type"), str):
        row["error_type"] = metadata["error_type"]
    return RowAnswer(None, error=row)
