"""`Catalog`: which models there are, what they can do and cost, who serves them.

Answers are read leniently: `data` of each value holds all fields, as sent, known here or not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Self, overload
from urllib.parse import quote

from langchain_core.messages import convert_to_messages
from langchain_core.messages.utils import count_tokens_approximately
from pydantic import PrivateAttr

from langchain_openrouter import _profiles, _transport, errors
from langchain_openrouter._endpoint import Endpoint, answer_of
from langchain_openrouter._keys import akey_of, fingerprint, key_of
from langchain_openrouter._read import count_of, dict_of, dicts_of, list_of, number_of, str_of

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput

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


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the list. Prices are USD a token; None is "not said"."""

    id: str
    name: str | None = None
    context_length: int | None = None
    max_output_tokens: int | None = None
    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()
    supported_parameters: tuple[str, ...] = ()
    prompt_price: float | None = None
    completion_price: float | None = None
    request_price: float | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read a row."""
        architecture, prices = dict_of(row, "architecture"), dict_of(row, "pricing")
        return cls(
            id=str_of(row, "id") or "",
            name=str_of(row, "name"),
            context_length=count_of(row, "context_length"),
            max_output_tokens=count_of(dict_of(row, "top_provider"), "max_completion_tokens"),
            input_modalities=_words(architecture, "input_modalities"),
            output_modalities=_words(architecture, "output_modalities"),
            supported_parameters=_words(row, "supported_parameters"),
            prompt_price=_price(prices, "prompt"),
            completion_price=_price(prices, "completion"),
            request_price=_price(prices, "request"),
            data=row,
        )

    @property
    def profile(self) -> dict[str, Any]:
        """The row as LangChain's model profile."""
        return _profiles.profile(self.data)

    @property
    def is_free(self) -> bool:
        """Whether tokens cost nothing."""
        return self.prompt_price == 0 and self.completion_price == 0


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """One provider's endpoint of a model. Latency in ms, throughput in tokens a second."""

    provider: str
    tag: str | None = None
    """The slug for `provider.order`, with its tier."""
    context_length: int | None = None
    quantization: str | None = None
    prompt_price: float | None = None
    completion_price: float | None = None
    latency: float | None = None
    """The median of the last 30 minutes; None without a key."""
    throughput: float | None = None
    uptime: float | None = None
    """Percent, of the last 30 minutes."""
    supported_parameters: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read an endpoint."""
        prices = dict_of(row, "pricing")
        return cls(
            provider=str_of(row, "provider_name") or "",
            tag=str_of(row, "tag"),
            context_length=count_of(row, "context_length"),
            quantization=str_of(row, "quantization"),
            prompt_price=_price(prices, "prompt"),
            completion_price=_price(prices, "completion"),
            latency=_median(row, "latency_last_30m"),
            throughput=_median(row, "throughput_last_30m"),
            uptime=number_of(row, "uptime_last_30m"),
            supported_parameters=_words(row, "supported_parameters"),
            data=row,
        )


@dataclass(frozen=True, slots=True)
class Provider:
    """Who serves models."""

    name: str
    slug: str
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read a provider."""
        return cls(str_of(row, "name") or "", str_of(row, "slug") or "", row)


@dataclass(frozen=True, slots=True)
class Generation:
    """An answer as OpenRouter's books have it. https://openrouter.ai/docs/api-reference/get-a-generation."""

    id: str
    cost: float | None = None
    """USD, as charged."""
    model_name: str | None = None
    provider: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read a generation."""
        return cls(
            id=str_of(row, "id") or "",
            cost=number_of(row, "total_cost"),
            model_name=str_of(row, "model"),
            provider=str_of(row, "provider_name"),
            prompt_tokens=count_of(row, "native_tokens_prompt"),
            completion_tokens=count_of(row, "native_tokens_completion"),
            data=row,
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call may cost, USD. An estimate: tokens are counted by letters, caches not at all."""

    prompt_tokens: int
    prompt_cost: float
    completion_cost: float | None
    """For `max_tokens` tokens; None where no limit was given."""

    @property
    def cost(self) -> float:
        """The most it may cost, or, without a limit of tokens, the least."""
        return self.prompt_cost + (self.completion_cost or 0.0)

    def __str__(self) -> str:
        """Say that it is an estimate."""
        sign = "≤" if self.completion_cost is not None else "≥"
        return f"estimate: {sign} ${self.cost:.6f} for some {self.prompt_tokens} prompt tokens"


class Models(Sequence[Model]):
    """Models in a list; a table in a notebook."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._models = tuple(models)

    @overload
    def __getitem__(self, place: int) -> Model: ...
    @overload
    def __getitem__(self, place: slice) -> Models: ...
    def __getitem__(self, place: int | slice) -> Model | Models:
        """Return one, or some."""
        found = self._models[place]
        return Models(found) if isinstance(found, tuple) else found

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._models)

    def __repr__(self) -> str:
        """Show the first of them."""
        shown = ", ".join(model.id for model in self._models[:5])
        return f"<{len(self)} models: {shown}{', …' if len(self) > 5 else ''}>"  # noqa: PLR2004 - a few

    def _repr_html_(self) -> str:
        head = "<tr><th>model</th><th>context</th><th>in</th><th>out</th><th>takes</th></tr>"
        rows = "".join(
            f"<tr><td>{escape(m.id)}</td><td>{m.context_length or ''}</td>"
            f"<td>{_per_million(m.prompt_price)}</td><td>{_per_million(m.completion_price)}</td>"
            f"<td>{escape(', '.join(m.input_modalities))}</td></tr>"
            for m in self._models
        )
        return f"<table>{head}{rows}</table><p>Prices: USD a million tokens.</p>"


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
    _kept: dict[Any, tuple[float, Any]] = PrivateAttr(default_factory=dict)

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
        return _models(self._get("/models/user", keyed=True))

    async def auser_models(self) -> Models:
        """Return like `user_models`."""
        return _models(await self._aget("/models/user", keyed=True))

    def model(self, slug: str) -> Model:
        """Return one model; aliases are resolved, variants taken.

        Raises:
            ModelUnavailableError: There is none.
        """
        return Model.of(dict_of(self._get(f"/model/{_path(slug)}"), "data") or {})

    async def amodel(self, slug: str) -> Model:
        """Return like `model`."""
        return Model.of(dict_of(await self._aget(f"/model/{_path(slug)}"), "data") or {})

    def endpoints(self, slug: str) -> list[ModelEndpoint]:
        """Return who serves a model, for how much, how fast."""
        return _endpoints(self._get(f"/models/{_path(slug)}/endpoints"))

    async def aendpoints(self, slug: str) -> list[ModelEndpoint]:
        """Return like `endpoints`."""
        return _endpoints(await self._aget(f"/models/{_path(slug)}/endpoints"))

    def providers(self) -> list[Provider]:
        """Return who serves models."""
        return [Provider.of(row) for row in dicts_of(self._get("/providers"), "data")]

    async def aproviders(self) -> list[Provider]:
        """Return like `providers`."""
        return [Provider.of(row) for row in dicts_of(await self._aget("/providers"), "data")]

    def generation(self, generation_id: str) -> Generation:
        """Return what an answer cost, as charged: `message.id` names it.

        The books know an answer some seconds later: this asks again, five times in eight seconds.

        Raises:
            ModelUnavailableError: They do not know it then.
        """
        for pause in (*_POLITE, None):
            try:
                return self._generation(self._asked_once(generation_id))
            except errors.ModelUnavailableError:
                if pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError  # the last pause is None

    async def ageneration(self, generation_id: str) -> Generation:
        """Return like `generation`."""
        for pause in (*_POLITE, None):
            try:
                return self._generation(await self._aasked_once(generation_id))
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

    # --- asking ---------------------------------------------------------------------------

    def _get(
        self, path: str, query: Mapping[str, Any] | None = None, *, keyed: bool = False
    ) -> Any:
        mark = self._mark(path, query)
        kept = self._kept.get(mark)
        if kept is None or time.monotonic() - kept[0] > self.ttl:
            key = key_of(self.api_key) if keyed or self.api_key is not None else ""
            kept = (time.monotonic(), answer_of(_transport.post(self._question(path, query), key)))
            self._kept[mark] = kept
        return kept[1]

    async def _aget(
        self, path: str, query: Mapping[str, Any] | None = None, *, keyed: bool = False
    ) -> Any:
        mark = self._mark(path, query)
        kept = self._kept.get(mark)
        if kept is None or time.monotonic() - kept[0] > self.ttl:
            key = await akey_of(self.api_key) if keyed or self.api_key is not None else ""
            got = await _transport.apost(self._question(path, query), key)
            kept = (time.monotonic(), answer_of(got))
            self._kept[mark] = kept
        return kept[1]

    def _mark(self, path: str, query: Mapping[str, Any] | None) -> Any:
        whose = None if self.api_key is None else fingerprint(self.api_key)
        return whose, path, repr(sorted((query or {}).items()))

    def _question(self, path: str, query: Mapping[str, Any] | None = None) -> _transport.Request:
        plain = {
            name: ",".join(map(str, value)) if isinstance(value, list | tuple) else value
            for name, value in (query or {}).items()
            if value is not None
        }
        asked = self._asked(path, {}, self.http_client)
        return asked._replace(body=b"", query=plain, method="get")

    def _asked_once(self, generation_id: str) -> Any:
        question = self._question("/generation", {"id": generation_id})
        return answer_of(_transport.post(question, key_of(self.api_key)))

    async def _aasked_once(self, generation_id: str) -> Any:
        question = self._question("/generation", {"id": generation_id})
        return answer_of(await _transport.apost(question, await akey_of(self.api_key)))

    @staticmethod
    def _generation(answer: Any) -> Generation:
        return Generation.of(dict_of(answer, "data") or {})

    def for_user(self, key: Any) -> Self:
        """Return the catalogue on another user's key, with nothing kept."""
        copy = super().for_user(key)
        copy._kept = {}  # noqa: SLF001 - of the same class
        return copy


def _models(answer: Any) -> Models:
    return Models(Model.of(row) for row in dicts_of(answer, "data"))


def _endpoints(answer: Any) -> list[ModelEndpoint]:
    return [ModelEndpoint.of(row) for row in dicts_of(dict_of(answer, "data"), "endpoints")]


def _unsupported(
    model: ChatOpenRouter, call: Mapping[str, Any], endpoints: Sequence[ModelEndpoint]
) -> list[str]:
    known = {name for endpoint in endpoints for name in endpoint.supported_parameters}
    asked = {**model._default_params, **call}  # noqa: SLF001 - by wire name, as it is sent
    if str_of(dict_of(asked, "response_format"), "type") == "json_schema":
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


def _words(source: Any, key: str) -> tuple[str, ...]:
    return tuple(word for word in list_of(source, key) or () if isinstance(word, str))


def _price(source: Any, key: str) -> float | None:
    """Return a price: text on the wire; a negative one means "depends"."""
    value: Any = (source or {}).get(key)
    try:
        price = float(value)
    except (TypeError, ValueError):
        return None
    return price if price >= 0 else None


def _median(row: Any, key: str) -> float | None:
    return number_of(dict_of(row, key), "p50") if dict_of(row, key) else number_of(row, key)


def _path(slug: str) -> str:
    return quote(slug, safe="/:~@")


def _per_million(price: float | None) -> str:
    return "" if price is None else f"{price * 1e6:g}"
