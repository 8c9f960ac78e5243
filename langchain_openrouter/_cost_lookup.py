"""What a call may cost, by the list of models, and what a generation has cost, by its record."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import httpx2

from langchain_openrouter._cost_ledger import CallSize
from langchain_openrouter._http import transport
from langchain_openrouter._http.run_key import CheckedKey
from langchain_openrouter._json import (
    get_dict,
    get_dicts,
    get_int,
    get_list,
    get_number,
    get_str,
    parse_json_or_text,
)

if TYPE_CHECKING:
    from langchain_openrouter._http.metering import Call

__all__ = ["aestimate_cost", "alook_up_cost", "call_size", "estimate_cost", "look_up_cost"]

_LIST_AGE = 3600.0  # seconds for which a list of models is used
_ERROR_AGE = 60.0  # seconds until a list that could not be read is asked for again
_TIMEOUT = httpx2.Timeout(5.0)
_DEFAULT_OUTPUT = 16_384  # tokens, of a call without `max_tokens`; OpenRouter reserves as many
_USUAL_OUTPUT = 1_000  # tokens
_MEDIA = {"image_url", "input_image", "file", "input_file", "input_audio", "video_url"}
_MEDIA_SIZE = 8_000  # bytes, for 2,000 tokens
_OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_READ_FIELDS = ("messages", "input", "instructions", "tools", "query", "documents")


# --- what a generation has cost ---------------------------------------------------------------


def look_up_cost(call: Call) -> float | None:
    """Return what a call has cost, USD; None while that is not known.

    The look-up goes out on the key of the call itself, and costs nothing.
    See https://openrouter.ai/docs/api-reference/get-a-generation.
    """
    request = _generation_request(call, httpx2.Client)
    return None if request is None else _parse_cost(transport.send(request))


async def alook_up_cost(call: Call) -> float | None:
    """Return like `look_up_cost`."""
    request = _generation_request(call, httpx2.AsyncClient)
    return None if request is None else _parse_cost(await transport.asend(request))


def _generation_request(call: Call, client_type: type) -> transport.Request | None:
    if call.request is None or call.key is None or not call.generation_id:
        return None

    return transport.Request(
        url=f"{call.request.base_url}/generation",
        base_url=call.request.base_url,
        method="get",
        body=b"",
        query={"id": call.generation_id},
        headers=call.request.headers,
        timeout=_TIMEOUT,
        max_retries=0,
        api_key=CheckedKey(call.key.get_secret_value()),
        client=_client_of(call, client_type),
        deadline=call.deadline if call.outcome == "running" else None,
    )


def _parse_cost(response: transport.ApiResponse) -> float | None:
    if response.is_error:
        return None
    data = get_dict(parse_json_or_text(response.body), "data")
    cost = get_number(data, "total_cost")
    return cost if cost is not None and cost >= 0 else None


# --- what a call may cost ---------------------------------------------------------------------


def estimate_cost(call: Call) -> Decimal | None:
    """Return what a call may cost, USD: its prompt, and all the output that it allows.

    The most expensive of its models counts. See `call_size` for what is counted of the prompt. None
    where the list of models has no price.
    """
    service = _base_url(call)
    prices = _prices.get(service)

    if prices is None:
        with _prices.lock:
            prices = _prices.get(service)
            if prices is None:
                client = _client_of(call, httpx2.Client)
                prices = _prices.put(service, transport.send(_models_request(service, client)))
    return _estimate(call, prices)


async def aestimate_cost(call: Call) -> Decimal | None:
    """Return like `estimate_cost`."""
    service = _base_url(call)
    prices = _prices.get(service)

    if prices is None:
        async with _prices.loop_lock():
            prices = _prices.get(service)
            if prices is None:
                client = _client_of(call, httpx2.AsyncClient)
                response = await transport.asend(_models_request(service, client))
                prices = _prices.put(service, response)
    return _estimate(call, prices)


def _base_url(call: Call) -> str:
    return "" if call.request is None else call.request.base_url


def _client_of(call: Call, client_type: type) -> Any:
    """Return the user's own client of a call, if it is of this type."""
    client = None if call.request is None else call.request.client
    return client if isinstance(client, client_type) else None


def _models_request(base_url: str, client: Any) -> transport.Request:
    return transport.Request(
        url=f"{base_url}/models",
        base_url=base_url,
        method="get",
        body=b"",
        query={"output_modalities": "all"},
        headers={},
        timeout=_TIMEOUT,
        max_retries=0,
        needs_key=False,
        client=client,
    )


@dataclass(frozen=True, slots=True)
class _Price:
    prompt: Decimal
    completion: Decimal
    request: Decimal
    max_output: int


class _PriceLists:
    """The prices of each service, for an hour; where they cannot be read, none for a minute."""

    def __init__(self) -> None:
        self._lists: dict[str, tuple[float, dict[str, _Price]]] = {}
        self.lock = threading.Lock()
        self._loop_locks: WeakKeyDictionary[Any, asyncio.Lock] = WeakKeyDictionary()

    def loop_lock(self) -> asyncio.Lock:
        """Return the lock of the running event loop: one look-up at a time."""
        return self._loop_locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    def get(self, service: str) -> dict[str, _Price] | None:
        """Return the prices, or None if they are to be read anew."""
        until, prices = self._lists.get(service, (0.0, {}))
        return prices if time.monotonic() < until else None

    def put(self, service: str, response: transport.ApiResponse) -> dict[str, _Price]:
        """Keep the prices of a response; where it is an error, the last ones stay."""
        rows = [] if response.is_error else get_dicts(parse_json_or_text(response.body), "data")
        prices = {name: price for row in rows for name, price in _parse_prices(row)}

        age = _LIST_AGE if prices else _ERROR_AGE
        prices = prices or self._lists.get(service, (0.0, {}))[1]
        self._lists[service] = (time.monotonic() + age, prices)
        return prices


_prices = _PriceLists()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_prices.__init__)  # type: ignore[misc]


def _parse_prices(row: dict[str, Any]) -> list[tuple[str, _Price]]:
    """Return a model's price by each of its slugs; nothing where the row has none."""
    pricing = get_dict(row, "pricing")
    amounts = [_parse_amount(pricing, name) for name in ("prompt", "completion", "request")]
    if amounts[0] is None or amounts[1] is None:
        return []

    limit = get_int(get_dict(row, "top_provider"), "max_completion_tokens")
    price = _Price(amounts[0], amounts[1], amounts[2] or Decimal(0), limit or _DEFAULT_OUTPUT)
    slug, dated = get_str(row, "id"), get_str(row, "canonical_slug")
    # A variant, as `:batch` or `:free`, has the dated slug of its model and another price.
    slugs = (slug,) if slug and ":" in slug else (slug, dated)
    return [(name, price) for name in slugs if name]


def _parse_amount(pricing: Any, name: str) -> Decimal | None:
    """Return a price in USD; None where there is none. The router's own is -1: not known."""
    value = (pricing or {}).get(name)
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def _estimate(call: Call, prices: dict[str, _Price]) -> Decimal | None:
    fallbacks = [slug for slug in get_list(call.body, "models") or () if isinstance(slug, str)]
    costs = []

    for slug in (call.model, *fallbacks):
        price = prices.get(slug) or prices.get(slug.partition(":")[0])
        if price is not None:
            output = _max_output(call, min(_DEFAULT_OUTPUT, price.max_output))
            costs.append(
                _prompt_tokens(call) * price.prompt + output * price.completion + price.request
            )
    return max(costs, default=None)


# --- how large a call is ----------------------------------------------------------------------


def call_size(call: Call) -> CallSize:
    """Return how many tokens a call sends and may write, roughly.

    A token of the prompt is four bytes of it; a picture or a file counts as 2,000 tokens. Without
    `max_tokens` 1,000 tokens of output are assumed.
    """
    return CallSize(_prompt_tokens(call), _max_output(call, _USUAL_OUTPUT))


def _prompt_tokens(call: Call) -> int:
    return sum(_size(call.body[name]) for name in _READ_FIELDS if name in call.body) // 4 + 1


def _max_output(call: Call, default: int) -> int:
    if call.kind != "chat":
        return 0
    limits = [get_int(call.body, name) for name in _OUTPUT_LIMITS]
    limit = next((limit for limit in limits if limit is not None), default)
    return max(0, limit) * max(1, get_int(call.body, "n") or 1)


def _size(value: Any) -> int:
    """Return the bytes of all texts of a value, the names of its fields included."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
    if isinstance(value, dict):
        if value.get("type") in _MEDIA:
            return _MEDIA_SIZE
        return sum(len(name) + _size(item) for name, item in value.items() if isinstance(name, str))
    return sum(map(_size, value)) if isinstance(value, list | tuple) else 0
