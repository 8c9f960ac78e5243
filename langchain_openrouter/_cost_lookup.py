"""What a call may cost, by the list of models, and what a generation has cost, by its record."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx2

from langchain_openrouter._http import transport
from langchain_openrouter._http.run_key import CheckedKey
from langchain_openrouter._json import (
    get_dict,
    get_dicts,
    get_int,
    get_number,
    get_str,
    parse_json_or_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_openrouter._http.metering import Call

__all__ = ["SETTLE_WAITS", "aestimate_cost", "alook_up_cost", "estimate_cost", "look_up_cost"]

SETTLE_WAITS = (0.0, 0.5, 1.0, 2.0, 4.0)  # seconds before each look-up of a generation
_LIST_AGE = 3600.0  # seconds for which a list of models is used
_TIMEOUT = httpx2.Timeout(10.0)
_DEFAULT_OUTPUT = 16_384  # tokens, of a call without `max_tokens`; OpenRouter reserves as many
_BYTES_PER_TOKEN = 4
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

    client = call.request.client
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
        client=client if isinstance(client, client_type) else None,
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

    A token of the prompt is four bytes of it. A call without `max_tokens` may write 16,384 tokens,
    or as many as the model can. None where the list of models has no price.
    """
    base_url = _base_url(call)
    prices = _prices.get(base_url)
    if prices is None:
        prices = _prices.put(base_url, transport.send(_models_request(base_url)))
    return _estimate(call, prices)


async def aestimate_cost(call: Call) -> Decimal | None:
    """Return like `estimate_cost`."""
    base_url = _base_url(call)
    prices = _prices.get(base_url)
    if prices is None:
        prices = _prices.put(base_url, await transport.asend(_models_request(base_url)))
    return _estimate(call, prices)


def _base_url(call: Call) -> str:
    return "" if call.request is None else call.request.base_url


def _models_request(base_url: str) -> transport.Request:
    return transport.Request(
        url=f"{base_url}/models",
        base_url=base_url,
        method="get",
        body=b"",
        query={"output_modalities": "all"},
        headers={},
        timeout=_TIMEOUT,
        max_retries=2,
        needs_key=False,
    )


@dataclass(frozen=True, slots=True)
class _Price:
    prompt: Decimal
    completion: Decimal
    request: Decimal
    max_output: int


class _PriceLists:
    """The prices of each service, for an hour; safe to use from any thread."""

    def __init__(self) -> None:
        self._lists: dict[str, tuple[float, dict[str, _Price]]] = {}
        self._lock = threading.Lock()

    def get(self, base_url: str) -> dict[str, _Price] | None:
        with self._lock:
            read_at, prices = self._lists.get(base_url, (0.0, {}))
        return prices if prices and time.monotonic() - read_at < _LIST_AGE else None

    def put(self, base_url: str, response: transport.ApiResponse) -> dict[str, _Price]:
        """Keep the prices of a response; where it is an error, the last ones stay."""
        rows = [] if response.is_error else get_dicts(parse_json_or_text(response.body), "data")
        prices = {name: price for row in rows for name, price in _parse_prices(row)}

        with self._lock:
            if prices:
                self._lists[base_url] = (time.monotonic(), prices)
            return prices or self._lists.get(base_url, (0.0, {}))[1]


_prices = _PriceLists()


def _parse_prices(row: dict[str, Any]) -> list[tuple[str, _Price]]:
    """Return a model's price by each of its slugs; nothing where the row has none."""
    pricing = get_dict(row, "pricing")
    amounts = [_parse_amount(pricing, name) for name in ("prompt", "completion", "request")]
    if amounts[0] is None or amounts[1] is None:
        return []

    limit = get_int(get_dict(row, "top_provider"), "max_completion_tokens")
    price = _Price(amounts[0], amounts[1], amounts[2] or Decimal(0), limit or _DEFAULT_OUTPUT)
    return [(slug, price) for name in ("id", "canonical_slug") if (slug := get_str(row, name))]


def _parse_amount(pricing: Any, name: str) -> Decimal | None:
    """Return a price in USD; None where there is none. The router's own is -1: not known."""
    value = (pricing or {}).get(name)
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def _estimate(call: Call, prices: dict[str, _Price]) -> Decimal | None:
    slug = call.model
    price = prices.get(slug) or prices.get(slug.partition(":")[0])
    if price is None:
        return None

    prompt_tokens = -(-_text_size(call.body) // _BYTES_PER_TOKEN)
    output_tokens = 0
    if call.kind == "chat":
        limits = [get_int(call.body, name) for name in _OUTPUT_LIMITS]
        max_output = next((limit for limit in limits if limit is not None), None)
        output_tokens = min(_DEFAULT_OUTPUT, price.max_output) if max_output is None else max_output
        output_tokens *= get_int(call.body, "n") or 1
    return prompt_tokens * price.prompt + output_tokens * price.completion + price.request


def _text_size(body: Mapping[str, Any]) -> int:
    """Return the bytes of what a model reads of a request; a picture or a file counts as none."""
    return sum(_size(body[name]) for name in _READ_FIELDS if name in body)


def _size(value: Any) -> int:
    if isinstance(value, str):
        return 0 if value.startswith("data:") else len(value.encode("utf-8", "replace"))
    if isinstance(value, dict):
        return sum(_size(item) for item in value.values())
    return sum(map(_size, value)) if isinstance(value, list | tuple) else 0
