"""`Catalog`: the available models, their capabilities and prices, and their providers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from langchain_core.messages import convert_to_messages
from langchain_core.messages.utils import count_tokens_approximately
from pydantic import PrivateAttr

from langchain_openrouter import _model_profiles, _profile_cache, errors
from langchain_openrouter._catalog_cache import StoredResponse
from langchain_openrouter._catalog_parameters import unsupported_of
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
from langchain_openrouter._json import get_dict, get_dicts
from langchain_openrouter._model_refusals import learn_from_endpoints
from langchain_openrouter._redaction import printable
from langchain_openrouter._resource import APIResource
from langchain_openrouter._shortcuts import shortcuts
from langchain_openrouter.settings import environment_api_key

__all__ = ["Catalog", "Estimate", "Generation", "Model", "ModelEndpoint", "Models", "Provider"]

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from langchain_core.language_models import LanguageModelInput
    from pydantic import SecretStr

    from langchain_openrouter.chat_models import ChatOpenRouter

_HOUR = 3600.0
_ALL_MODELS = {"output_modalities": "all"}
_MAX_CACHED = 64  # responses of one catalog
_PUBLIC = {"/models", "/providers"}
"""Paths whose response does not depend on the key: `/models/user` is the list of an account."""
_EVERYONE = "everyone"
_GENERATION_BACKOFF = (0.5, 1.0, 2.0, 4.0)  # seconds between requests for one generation


class Catalog(APIResource):
    """OpenRouter's lists of models and providers. Responses are cached for an hour, per key.

    The lists of all models and of the providers are the same for every key: they are requested and
    read once for this catalog and those that `for_user` makes of it.

    Example:
        ```python
        from langchain_openrouter.catalog import Catalog

        catalog = Catalog()
        cheap = sorted(catalog.models(supported_parameters="tools"), key=lambda m: m.prompt_price)
        ```
    """

    ttl: float = _HOUR
    """Seconds for which a response is cached."""
    _cache: dict[Any, StoredResponse] = PrivateAttr(default_factory=dict)
    _public: dict[Any, StoredResponse] = PrivateAttr(default_factory=dict)
    """Of lists that are the same for every key; the catalogs of all users share it."""

    def models(self, **filters: Any) -> Models:
        """Return the models. No key is needed.

        Args:
            **filters: Query parameters of the API: `category`, `supported_parameters`,
                `input_modalities`, `output_modalities`, `q`, `sort`, `providers`, `max_price`,
                `limit`, `offset`, ...

        See https://openrouter.ai/docs/api-reference/list-available-models.
        """
        models: Models = self._get("/models", filters, parse=_to_models)
        return models

    async def amodels(self, **filters: Any) -> Models:
        """Return like `models`."""
        models: Models = await self._aget("/models", filters, parse=_to_models)
        return models

    def user_models(self) -> Models:
        """Return the models that the key may use under its owner's account settings."""
        models: Models = self._get("/models/user", needs_key=True, parse=_to_models)
        return models

    async def auser_models(self) -> Models:
        """Return like `user_models`."""
        models: Models = await self._aget("/models/user", needs_key=True, parse=_to_models)
        return models

    def model(self, slug: str) -> Model:
        """Return a model.

        Args:
            slug: `author/model`, also an alias, or with a variant such as `:free`.

        Raises:
            ModelUnavailableError: There is no such model.
            ValueError: It is not a slug.
        """
        return Model.from_api(get_dict(self._get(f"/model/{_path(slug)}"), "data") or {})

    async def amodel(self, slug: str) -> Model:
        """Return like `model`."""
        return Model.from_api(get_dict(await self._aget(f"/model/{_path(slug)}"), "data") or {})

    def endpoints(self, slug: str) -> list[ModelEndpoint]:
        """Return the endpoints that serve a model, with their prices and speed."""
        return _to_endpoints(self, slug, self._get(f"/models/{_path(slug)}/endpoints"))

    async def aendpoints(self, slug: str) -> list[ModelEndpoint]:
        """Return like `endpoints`."""
        return _to_endpoints(self, slug, await self._aget(f"/models/{_path(slug)}/endpoints"))

    def providers(self) -> list[Provider]:
        """Return the providers."""
        return list(self._get("/providers", parse=_to_providers))

    async def aproviders(self) -> list[Provider]:
        """Return like `providers`."""
        return list(await self._aget("/providers", parse=_to_providers))

    def generation(self, generation_id: str) -> Generation:
        """Return the record of a generation, with its cost as charged.

        The record exists some seconds after the answer: up to five requests are sent in eight
        seconds.

        Args:
            generation_id: `message.id` of the answer.

        Raises:
            ModelUnavailableError: There is no record after that time.
        """
        for pause in (*_GENERATION_BACKOFF, None):
            try:
                return self._to_generation(self._send(self._generation_request(generation_id)))
            except errors.ModelUnavailableError:
                if pause is None:
                    raise
                time.sleep(pause)

        raise AssertionError  # the last pause is None

    async def ageneration(self, generation_id: str) -> Generation:
        """Return like `generation`."""
        for pause in (*_GENERATION_BACKOFF, None):
            try:
                return self._to_generation(
                    await self._asend(self._generation_request(generation_id))
                )
            except errors.ModelUnavailableError:
                if pause is None:
                    raise
                await asyncio.sleep(pause)

        raise AssertionError  # the last pause is None

    def unsupported_parameters(self, model: ChatOpenRouter, **call: Any) -> list[str]:
        """Return the parameters of a call that no endpoint of the model supports.

        OpenRouter ignores them silently, unless `provider.require_parameters` is true.

        Args:
            model: The model, whose own arguments are included.
            **call: Arguments of the call, by the names of the API.

        Returns:
            Names of the API.
        """
        return unsupported_of(model, call, self.endpoints(model.model_name))

    async def aunsupported_parameters(self, model: ChatOpenRouter, **call: Any) -> list[str]:
        """Return like `unsupported_parameters`."""
        return unsupported_of(model, call, await self.aendpoints(model.model_name))

    # Former names.
    check = unsupported_parameters
    acheck = aunsupported_parameters

    def refresh_profiles(self) -> Path:
        """Write the profiles of all models as they are listed now to the user's cache folder.

        They replace the profiles that come with the package, in this process at once and in
        others when they start, for as long as they are newer. No key is needed.

        Returns:
            The path of the file; the folder follows the platform, as XDG_CACHE_HOME does.

        Raises:
            OpenRouterError: The list cannot be read.
            OSError: The file cannot be written.
        """
        self._cache.clear()
        self._public.clear()
        return _write_profiles(self, self._get("/models", _ALL_MODELS))

    async def arefresh_profiles(self) -> Path:
        """Refresh like `refresh_profiles`; the file is written in a thread."""
        self._cache.clear()
        self._public.clear()
        response = await self._aget("/models", _ALL_MODELS)
        return await asyncio.to_thread(_write_profiles, self, response)

    def refresh_profiles_daily(self) -> None:
        """Refresh the profiles in the background, when they are older than a day, then daily.

        One thread of the process does it, which never delays its end; a failure is logged at
        level DEBUG, and tried again an hour later. Calls after the first have no effect.
        """
        _profile_cache.refresh_daily(self.refresh_profiles, base_url=_base_url(self))

    def estimate(self, model: ChatOpenRouter, messages: LanguageModelInput) -> Estimate:
        """Return what a call may cost, from the listed prices and an approximate count of tokens.

        Args:
            model: The model; its `max_tokens` limits the estimate.
            messages: The input of the call.

        Raises:
            ModelUnavailableError: The model is not listed.
            ValueError: It has no price, as a router, whose price is that of the chosen model.
        """
        return _estimate(self.model(model.model_name), model, messages)

    async def aestimate(self, model: ChatOpenRouter, messages: LanguageModelInput) -> Estimate:
        """Return like `estimate`."""
        return _estimate(await self.amodel(model.model_name), model, messages)

    # --- requests -------------------------------------------------------------------------

    def _get(
        self,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        needs_key: bool = False,
        parse: Callable[[Any], Any] | None = None,
    ) -> Any:
        request = self._catalog_request(path, query, needs_key=needs_key)
        if callable(request.api_key):
            request = request._replace(api_key=_resolved(request))

        cache_key = _cache_key(request)
        stored = self._cached(cache_key)
        if stored is None:
            stored = StoredResponse(self._send(request))
            self._store(cache_key, stored)
        return stored.parsed(parse)

    async def _aget(
        self,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        needs_key: bool = False,
        parse: Callable[[Any], Any] | None = None,
    ) -> Any:
        request = self._catalog_request(path, query, needs_key=needs_key)
        if callable(request.api_key):
            request = request._replace(api_key=await _aresolved(request))

        cache_key = _cache_key(request)
        stored = self._cached(cache_key)
        if stored is None:
            stored = StoredResponse(await self._asend(request))
            self._store(cache_key, stored)
        return stored.parsed(parse)

    def _cached(self, cache_key: Any) -> StoredResponse | None:
        stored = self._cache_of(cache_key).get(cache_key)
        return stored if stored is not None and stored.age <= self.ttl else None

    def _store(self, cache_key: Any, stored: StoredResponse) -> None:
        """Cache a response; the oldest is dropped, so that many users do not add up."""
        cache = self._cache_of(cache_key)
        cache.pop(cache_key, None)
        while len(cache) >= _MAX_CACHED:
            cache.pop(next(iter(cache)), None)
        if self.ttl > 0:
            cache[cache_key] = stored

    def _cache_of(self, cache_key: Any) -> dict[Any, StoredResponse]:
        return self._public if cache_key[0] is _EVERYONE else self._cache

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
    def _to_generation(response: Any) -> Generation:
        return Generation.from_api(get_dict(response, "data") or {})

    def for_user(self, key: Any) -> Self:
        """Return a catalog on another user's key, which shares only public lists with this one."""
        copy = super().for_user(key)
        copy._cache = {}  # noqa: SLF001 - of the same class
        return copy


def _base_url(catalog: Catalog) -> str:
    return catalog._build_request("").base_url  # noqa: SLF001 - as a request would have it


def _write_profiles(catalog: Catalog, response: Any) -> Path:
    """Write the profiles of a listing, and use them from now on.

    Raises:
        UpstreamError: It lists nothing.
        OSError: The file cannot be written.
    """
    profiles = _model_profiles.build_profiles(response)
    if not profiles:
        msg = "the service listed no models: the profiles stay as they are"
        raise errors.UpstreamError(msg)

    path = _profile_cache.write(profiles, base_url=_base_url(catalog))
    _model_profiles.forget()
    return path


def _to_providers(response: Any) -> tuple[Provider, ...]:
    return tuple(Provider.from_api(row) for row in get_dicts(response, "data"))


def _to_models(response: Any) -> Models:
    return Models(Model.from_api(row) for row in get_dicts(response, "data"))


def _to_endpoints(catalog: Catalog, slug: str, response: Any) -> list[ModelEndpoint]:
    rows = get_dicts(get_dict(response, "data"), "endpoints")
    learn_from_endpoints(slug, rows, base_url=_base_url(catalog))
    return [ModelEndpoint.from_api(row) for row in rows]


def _estimate(row: Model, model: ChatOpenRouter, messages: LanguageModelInput) -> Estimate:
    if row.prompt_price is None or row.completion_price is None:
        slug = printable(row.id or model.model_name)
        msg = f"{slug} has no price of its own: it depends on what is chosen"
        raise ValueError(msg)

    inputs: Any = messages
    if isinstance(inputs, str):
        inputs = [("user", inputs)]
    elif hasattr(inputs, "to_messages"):
        inputs = inputs.to_messages()

    tokens = count_tokens_approximately(convert_to_messages(inputs))
    limit = model.max_completion_tokens or model.max_tokens
    return Estimate(
        tokens,
        tokens * row.prompt_price + (row.request_price or 0.0),
        None if limit is None else limit * row.completion_price,
    )


def _path(slug: str) -> str:
    """Return a slug encoded for a URL's path.

    Raises:
        ValueError: It is not a slug, and could lead to another endpoint.
    """
    if not slug or any(part in {"", ".", ".."} for part in slug.split("/")):
        msg = f"{slug!r} is no slug: use `author/model[:variant]`"
        raise ValueError(msg)
    return quote(slug, safe="/:~@")


def _cache_key(request: transport.Request) -> Any:
    """Return the key of the cache: whose response it is, the URL and the query."""
    owner = None if request.api_key is None else cache_fingerprint(request.api_key)
    if request.url.removeprefix(request.base_url) in _PUBLIC and shortcuts.enabled:
        owner = _EVERYONE
    return owner, request.url, repr(sorted((request.query or {}).items()))


def _resolved(request: transport.Request) -> SecretStr | None:
    """Return the key that a callable returns; None if there is none and none is needed."""
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
