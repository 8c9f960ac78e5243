"""`Catalog`: which models there are, what they can do and cost, who serves them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from langchain_core.messages import convert_to_messages
from langchain_core.messages.utils import count_tokens_approximately
from pydantic import PrivateAttr

from langchain_openrouter import errors
from langchain_openrouter._catalog_types import (
    Estimate,
    Generation,
    Model,
    ModelEndpoint,
    Models,
    Provider,
)
from langchain_openrouter._http import transport
from langchain_openrouter._http.api_key import cache_fingerprint
from langchain_openrouter._json import get_dict, get_dicts, get_str
from langchain_openrouter._resource import Endpoint
from langchain_openrouter.settings import environment_api_key

__all__ = ["Catalog", "Estimate", "Generation", "Model", "ModelEndpoint", "Models", "Provider"]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_core.language_models import LanguageModelInput
    from pydantic import SecretStr

    from langchain_openrouter.chat_models import ChatOpenRouter

_HOUR = 3600.0
_POLITE = (0.5, 1.0, 2.0, 4.0)  # seconds between asking again for a generation
# Fields of a request that are no parameters of a model: OpenRouter's own, and those of any model.
_OURS = frozenset(
    ["model", "models", "preset", "messages", "stream", "stream_options", "usage", "provider",
     "route", "plugins", "session_id", "user", "metadata", "trace", "debug", "service_tier",
     "speed", "cache_control", "prompt_cache_key", "prompt_cache_options", "modalities",
     "image_config", "audio", "max_tool_calls", "stop_server_tools_when", "deferred_tools",
     "x_search_filter", "n"]
)  # fmt: skip
_SAME = {"max_completion_tokens": "max_tokens", "max_tokens": "max_completion_tokens",
         "reasoning_effort": "reasoning"}  # fmt: skip


class Catalog(Endpoint):
    """OpenRouter's lists. Answers are kept for an hour, those of a user's own apart from others'.

    Example:
        ```python
        from langchain_openrouter.catalog import Catalog

        catalog = Catalog()
        cheap = sorted(catalog.models(supported_parameters="tools"), key=lambda m: m.prompt_price)
        ```
    """

    ttl: float = _HOUR
    """Seconds that an answer is kept."""
    _cache: dict[Any, tuple[float, Any]] = PrivateAttr(default_factory=dict)

    def models(self, **filters: Any) -> Models:
        """Return the models. No key is needed.

        Args:
            **filters: Those of the API: `category`, `supported_parameters`, `input_modalities`,
                `output_modalities`, `q`, `sort`, `providers`, `max_price`, `limit`, `offset`, ...

        See https://openrouter.ai/docs/api-reference/list-available-models.
        """
        return _models(self._get("/models", filters))

    async def amodels(self, **filters: Any) -> Models:
        """Return like `models`."""
        return _models(await self._aget("/models", filters))

    def user_models(self) -> Models:
        """Return the models that this key may use: what its owner's settings leave."""
        return _models(self._get("/models/user", needs_key=True))

    async def auser_models(self) -> Models:
        """Return like `user_models`."""
        return _models(await self._aget("/models/user", needs_key=True))

    def model(self, slug: str) -> Model:
        """Return one model; aliases are resolved, variants taken.

        Raises:
            ModelUnavailableError: There is none.
        """
        return Model.of(get_dict(self._get(f"/model/{_path(slug)}"), "data") or {})

    async def amodel(self, slug: str) -> Model:
        """Return like `model`."""
        return Model.of(get_dict(await self._aget(f"/model/{_path(slug)}"), "data") or {})

    def endpoints(self, slug: str) -> list[ModelEndpoint]:
        """Return who serves a model, for how much, how fast."""
        return _endpoints(self._get(f"/models/{_path(slug)}/endpoints"))

    async def aendpoints(self, slug: str) -> list[ModelEndpoint]:
        """Return like `endpoints`."""
        return _endpoints(await self._aget(f"/models/{_path(slug)}/endpoints"))

    def providers(self) -> list[Provider]:
        """Return who serves models."""
        return [Provider.of(row) for row in get_dicts(self._get("/providers"), "data")]

    async def aproviders(self) -> list[Provider]:
        """Return like `providers`."""
        return [Provider.of(row) for row in get_dicts(await self._aget("/providers"), "data")]

    def generation(self, generation_id: str) -> Generation:
        """Return what an answer cost, as charged: `message.id` names it.

        The books know an answer some seconds later: this asks again, five times in eight seconds.

        Raises:
            ModelUnavailableError: They do not know it then.
        """
        for pause in (*_POLITE, None):
            try:
                return self._generation(self._send(self._generation_request(generation_id)))
            except errors.ModelUnavailableError:
                if pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError  # the last pause is None

    async def ageneration(self, generation_id: str) -> Generation:
        """Return like `generation`."""
        for pause in (*_POLITE, None):
            try:
                return self._generation(await self._asend(self._generation_request(generation_id)))
            except errors.ModelUnavailableError:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError  # the last pause is None

    def check(self, model: ChatOpenRouter, **call: Any) -> list[str]:
        """Return the parameters of a model's calls that no endpoint of it supports.

        OpenRouter ignores those silently, unless `provider.require_parameters` is true.

        Args:
            model: With its arguments.
            **call: Those of the call, by their wire names.
        """
        return _unsupported(model, call, self.endpoints(model.model_name))

    async def acheck(self, model: ChatOpenRouter, **call: Any) -> list[str]:
        """Return like `check`."""
        return _unsupported(model, call, await self.aendpoints(model.model_name))

    def estimate(self, model: ChatOpenRouter, messages: LanguageModelInput) -> Estimate:
        """Return what a call may cost, from the list's prices and a count of letters.

        Raises:
            ModelUnavailableError: The model is not in the list.
            ValueError: It has no price: a router's depends on what it chooses.
        """
        return _estimate(self.model(model.model_name), model, messages)

    async def aestimate(self, model: ChatOpenRouter, messages: LanguageModelInput) -> Estimate:
        """Return like `estimate`."""
        return _estimate(await self.amodel(model.model_name), model, messages)

    # --- requests -------------------------------------------------------------------------

    def _get(
        self, path: str, query: Mapping[str, Any] | None = None, *, needs_key: bool = False
    ) -> Any:
        request = self._catalog_request(path, query, needs_key=needs_key)
        if callable(request.api_key):
            request = request._replace(api_key=_resolved(request))
        cache_key = _cache_key(request)
        answer = self._cached(cache_key)
        if answer is None:
            answer = self._send(request)
            self._cache[cache_key] = (time.monotonic(), answer)
        return answer

    async def _aget(
        self, path: str, query: Mapping[str, Any] | None = None, *, needs_key: bool = False
    ) -> Any:
        request = self._catalog_request(path, query, needs_key=needs_key)
        if callable(request.api_key):
            request = request._replace(api_key=await _aresolved(request))
        cache_key = _cache_key(request)
        answer = self._cached(cache_key)
        if answer is None:
            answer = await self._asend(request)
            self._cache[cache_key] = (time.monotonic(), answer)
        return answer

    def _cached(self, cache_key: Any) -> Any:
        stored = self._cache.get(cache_key)
        fresh = stored is not None and time.monotonic() - stored[0] <= self.ttl
        return stored[1] if stored is not None and fresh else None

    def _catalog_request(
        self, path: str, query: Mapping[str, Any] | None = None, *, needs_key: bool = False
    ) -> transport.Request:
        plain = {
            name: ",".join(map(str, value)) if isinstance(value, list | tuple) else value
            for name, value in (query or {}).items()
            if value is not None
        }
        return self._build_request(path, query=plain, needs_key=needs_key)

    def _generation_request(self, generation_id: str) -> transport.Request:
        return self._catalog_request("/generation", {"id": generation_id}, needs_key=True)

    @staticmethod
    def _generation(answer: Any) -> Generation:
        return Generation.of(get_dict(answer, "data") or {})

    def for_user(self, key: Any) -> Self:
        """Return the catalogue on another user's key, with nothing kept."""
        copy = super().for_user(key)
        copy._cache = {}  # noqa: SLF001 - of the same class
        return copy


def _models(answer: Any) -> Models:
    return Models(Model.of(row) for row in get_dicts(answer, "data"))


def _endpoints(answer: Any) -> list[ModelEndpoint]:
    return [ModelEndpoint.of(row) for row in get_dicts(get_dict(answer, "data"), "endpoints")]


def _unsupported(
    model: ChatOpenRouter, call: Mapping[str, Any], endpoints: Sequence[ModelEndpoint]
) -> list[str]:
    known = {name for endpoint in endpoints for name in endpoint.supported_parameters}
    asked = {**model._default_params, **call}  # noqa: SLF001 - by wire name, as it is sent
    if get_str(get_dict(asked, "response_format"), "type") == "json_schema":
        asked["structured_outputs"] = True
    return [
        name
        for name, value in asked.items()
        if value is not None and name not in _OURS and not {name, _SAME.get(name, name)} & known
    ]


def _estimate(row: Model, model: ChatOpenRouter, messages: LanguageModelInput) -> Estimate:
    if row.prompt_price is None or row.completion_price is None:
        msg = f"{row.id or model.model_name} has no price of its own: it depends on what is chosen"
        raise ValueError(msg)
    given: Any = messages
    if isinstance(given, str):
        given = [("user", given)]
    elif hasattr(given, "to_messages"):
        given = given.to_messages()
    tokens = count_tokens_approximately(convert_to_messages(given))
    limit = model.max_completion_tokens or model.max_tokens
    return Estimate(
        tokens,
        tokens * row.prompt_price + (row.request_price or 0.0),
        None if limit is None else limit * row.completion_price,
    )


def _path(slug: str) -> str:
    """Return a slug as the part of a path that it names.

    Raises:
        ValueError: It would lead to another endpoint.
    """
    if not slug or any(part in {"", ".", ".."} for part in slug.split("/")):
        msg = f"{slug!r} is no slug: use `author/model[:variant]`"
        raise ValueError(msg)
    return quote(slug, safe="/:~@")


def _cache_key(request: transport.Request) -> Any:
    """Return what tells answers apart: whose key, which API, which question."""
    owner = None if request.api_key is None else cache_fingerprint(request.api_key)
    return owner, request.url, repr(sorted((request.query or {}).items()))


def _resolved(request: transport.Request) -> SecretStr | None:
    """Return the key that a callable gives; a public list needs none."""
    try:
        return transport.resolve_key(request.api_key, request.base_url)
    except errors.AuthenticationError:
        if request.needs_key or request.api_key is not environment_api_key:
            raise
        return None


async def _aresolved(request: transport.Request) -> SecretStr | None:
    """Return like `_resolved`."""
    try:
        return await transport.aresolve_key(request.api_key, request.base_url)
    except errors.AuthenticationError:
        if request.needs_key or request.api_key is not environment_api_key:
            raise
        return None
