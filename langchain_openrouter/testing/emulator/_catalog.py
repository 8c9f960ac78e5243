"""The models that the emulator lists, and the bodies of its responses other than chat."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_str

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MODELS",
    "embeddings",
    "endpoints",
    "find_model",
    "generation",
    "listing",
    "providers",
    "rerank",
]

_CHAT_PARAMETERS = (
    "temperature top_p max_tokens max_completion_tokens stop seed tools tool_choice "
    "response_format structured_outputs"
)
_EMBEDDING_PRICE = 2e-08  # USD per token
_RERANK_PRICE = 0.001  # USD per search
_DIMENSIONS = 64

# slug | name | context length | USD per prompt and completion token | inputs | outputs | reasoning
_MODELS = """
openai/gpt-4o-mini | OpenAI: GPT-4o-mini | 128000 | 0.00000015 0.0000006 | text image file | text |
anthropic/claude-sonnet-4.6 | Anthropic: Claude Sonnet 4.6 | 1000000 | 0.000003 0.000015 \
    | text image file | text | reasoning
google/gemini-2.5-flash | Google: Gemini 2.5 Flash | 1048576 | 0.0000003 0.0000025 \
    | text image file audio video | text | reasoning
deepseek/deepseek-chat:free | DeepSeek: Chat (free) | 64000 | 0 0 | text | text |
google/gemini-2.5-flash-image | Google: Gemini 2.5 Flash Image | 32768 | 0.0000003 0.0000025 \
    | text image | text image |
openai/text-embedding-3-small | OpenAI: Embedding 3 small | 8192 | 0.00000002 0 \
    | text | embeddings |
cohere/rerank-v3.5 | Cohere: Rerank 3.5 | 4096 | 0 0 | text | rerank |
"""


_REASONING = {
    "mandatory": False,
    "supported_efforts": ["high", "medium", "low"],
    "default_enabled": False,
    "supports_max_tokens": True,
}


def _parse_model(line: str) -> dict[str, Any]:
    """Return an entry of `GET /models`."""
    slug, name, context, prices, inputs, outputs, reasons = map(str.strip, line.split("|"))
    prompt_price, completion_price = prices.split()
    parameters = f"{_CHAT_PARAMETERS} {'reasoning include_reasoning' if reasons else ''}".split()
    context_length = int(context)
    top_provider = {
        "context_length": context_length,
        "max_completion_tokens": 16384,
        "is_moderated": False,
    }

    return {
        "id": slug,
        "canonical_slug": slug,
        "name": name,
        "created": 1735689600,
        "description": f"{name}, as far as the emulator goes.",
        "context_length": context_length,
        "architecture": _architecture(inputs.split(), outputs.split()),
        "pricing": {
            "prompt": prompt_price,
            "completion": completion_price,
            "request": "0",
            "image": "0",
        },
        "top_provider": top_provider,
        "per_request_limits": None,
        "supported_parameters": parameters if "text" in outputs.split() else [],
        "default_parameters": None,
        "knowledge_cutoff": None,
        "expiration_date": None,
        "hugging_face_id": None,
        "links": {"details": f"/api/v1/models/{slug}/endpoints"},
        **({"reasoning": dict(_REASONING)} if reasons else {}),
    }


def _architecture(inputs: list[str], outputs: list[str]) -> dict[str, Any]:
    return {
        "modality": f"{'+'.join(inputs)}->{'+'.join(outputs)}",
        "input_modalities": inputs,
        "output_modalities": outputs,
        "tokenizer": "Other",
        "instruct_type": None,
    }


MODELS: tuple[dict[str, Any], ...] = tuple(map(_parse_model, _MODELS.strip().splitlines()))
"""The entries of `GET /models`."""


def listing(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the body of `GET /models`: text models, unless the query names other outputs."""
    modalities = query.get("output_modalities", "text")
    rows = [
        model
        for model in MODELS
        if modalities == "all"
        or set(modalities.split(",")) & set(model["architecture"]["output_modalities"])
    ]
    for parameter in filter(None, query.get("supported_parameters", "").split(",")):
        rows = [model for model in rows if parameter in model["supported_parameters"]]
    if text := query.get("q", "").lower():
        rows = [model for model in rows if text in f"{model['id']} {model['name']}".lower()]

    total, start = len(rows), int(query.get("offset", 0))
    page = rows[start : start + int(query.get("limit", total or 1))]
    return {"data": page, "total_count": total, "links": {"next": None}}


def find_model(slug: str) -> dict[str, Any] | None:
    """Return a model of the list; None for one that is not in it."""
    return next((model for model in MODELS if slug in {model["id"], model["canonical_slug"]}), None)


def endpoints(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of `GET /models/{author}/{slug}/endpoints`: two, the second dearer."""
    names = ("id", "name", "created", "description", "architecture")
    rows = [_endpoint(model, "OpenAI", "openai", 1), _endpoint(model, "Azure", "azure", 2)]
    return {"data": {**{name: model[name] for name in names}, "endpoints": rows}}


def _endpoint(model: Mapping[str, Any], provider: str, tag: str, factor: int) -> dict[str, Any]:
    """Return an endpoint: its price and latency are multiplied, its throughput is divided."""
    pricing = {
        name: f"{float(price) * factor:.10f}".rstrip("0").rstrip(".") or "0"
        for name, price in model["pricing"].items()
    }
    latency = {"p50": 400.0 * factor, "p75": 600.0, "p90": 900.0, "p99": 2000.0}
    throughput = {"p50": 90.0 / factor, "p75": 70.0, "p90": 50.0, "p99": 20.0}

    return {
        "name": f"{provider} | {model['id']}",
        "model_id": model["id"],
        "model_name": model["name"],
        "provider_name": provider,
        "tag": tag,
        "context_length": model["context_length"],
        "max_completion_tokens": 16384,
        "max_prompt_tokens": None,
        "quantization": "unknown",
        "pricing": pricing,
        "supported_parameters": model["supported_parameters"],
        "status": 0,
        "uptime_last_30m": 99.9,
        "uptime_last_5m": 100.0,
        "uptime_last_1d": 99.8,
        "supports_implicit_caching": False,
        "latency_last_30m": latency,
        "throughput_last_30m": throughput,
    }


def providers() -> dict[str, Any]:
    """Return the body of `GET /providers`."""
    pages = ("privacy_policy_url", "terms_of_service_url", "status_page_url")
    rows = [
        {
            "name": name,
            "slug": name.lower(),
            **dict.fromkeys(pages),
            "headquarters": "US",
            "datacenters": ["US"],
        }
        for name in ("OpenAI", "Azure", "Anthropic")
    ]

    return {"data": rows}


def embeddings(body: Mapping[str, Any], generation_id: str) -> dict[str, Any]:
    """Return the body of `POST /embeddings`: texts that share words have vectors that are near.

    Args:
        body: The request's; `input` is a text, a list of tokens, or a list of either.
        generation_id: The chat API's form of the id.
    """
    value = body["input"]
    is_batch = isinstance(value, list) and not (value and isinstance(value[0], int))
    inputs = value if is_batch else [value]
    size = body.get("dimensions") or _DIMENSIONS
    data = []
    for index, text in enumerate(inputs):
        vector: Any = _word_vector(str(text), size)
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "embedding": vector, "index": index})

    tokens = sum(len(str(text)) // 4 + 1 for text in inputs)
    cost = round(tokens * _EMBEDDING_PRICE, 12)
    cost_details = {
        "upstream_inference_cost": cost,
        "upstream_inference_prompt_cost": cost,
        "upstream_inference_completions_cost": 0,
    }
    return {
        "object": "list",
        "data": data,
        "model": str(body["model"]).rpartition("/")[2],
        "usage": {
            "prompt_tokens": tokens,
            "total_tokens": tokens,
            "cost": cost,
            "is_byok": False,
            "cost_details": cost_details,
        },
        "provider": "OpenAI",
        "id": generation_id.replace("gen-", "gen-emb-", 1),
    }


def _word_vector(text: str, size: int) -> list[float]:
    """Return a unit vector to which each word of a text adds one component."""
    vector = [0.0] * size
    for word in re.findall(r"\w+", text.lower()):
        digest = hashlib.sha256(word.encode()).digest()
        vector[int.from_bytes(digest[:4], "big") % size] += 1.0 if digest[4] % 2 else -1.0
    length = sum(component**2 for component in vector) ** 0.5 or 1.0
    return [component / length for component in vector]


def rerank(body: Mapping[str, Any], generation_id: str) -> dict[str, Any]:
    """Return the body of `POST /rerank`: by the share of the query's words in a document.

    Args:
        body: The request's.
        generation_id: The chat API's form of the id.
    """
    query = set(re.findall(r"\w+", str(body["query"]).lower()))
    results: list[dict[str, Any]] = []
    for index, document in enumerate(body["documents"]):
        text = document if isinstance(document, str) else get_str(document, "text") or ""
        share = len(query & set(re.findall(r"\w+", text.lower()))) / (len(query) or 1)
        echoed = {"text": document} if isinstance(document, str) else document
        results.append({"document": echoed, "index": index, "relevance_score": round(share, 6)})

    results.sort(key=lambda result: (-result["relevance_score"], result["index"]))
    return {
        "id": generation_id.replace("gen-", "gen-rerank-", 1),
        "model": str(body["model"]).rpartition("/")[2],
        "provider": "Cohere",
        "results": results[: body.get("top_n")],
        "usage": {"cost": _RERANK_PRICE, "search_units": 1},
    }


_GENERATION: dict[str, Any] = {
    "id": None,
    "upstream_id": None,
    "total_cost": 0,
    "usage": 0,
    "cache_discount": None,
    "upstream_inference_cost": 0,
    "created_at": "2026-01-02T03:04:05+00:00",
    "model": None,
    "app_id": None,
    "provider_name": None,
    "streamed": False,
    "cancelled": False,
    "latency": 120,
    "moderation_latency": None,
    "generation_time": 480,
    "finish_reason": None,
    "origin": "",
    "api_type": "completions",
    "native_finish_reason": None,
    "external_user": None,
    "tokens_prompt": 0,
    "is_byok": False,
    "tokens_completion": 0,
    "native_tokens_prompt": 0,
    "native_tokens_completion": 0,
    "native_tokens_reasoning": 0,
    "native_tokens_cached": 0,
    "native_tokens_completion_images": None,
    "num_media_prompt": None,
    "num_input_audio_prompt": None,
    "num_media_completion": 0,
    "num_search_results": None,
}


def generation(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of `GET /generation`.

    Args:
        record: What the emulator remembers of a chat response.
    """
    usage = get_dict(record, "usage") or {}
    details = get_dict(usage, "completion_tokens_details") or {}
    cost = usage.get("cost", 0)
    prompt_tokens = usage.get("prompt_tokens", 0)
    completion_tokens = usage.get("completion_tokens", 0)

    data = {
        **_GENERATION,
        "id": record["id"],
        "total_cost": cost,
        "usage": cost,
        "model": record["model"],
        "provider_name": record["provider"],
        "streamed": record["streamed"],
        "finish_reason": record["finish_reason"],
        "native_finish_reason": record["native_finish_reason"],
        "external_user": record["user"],
        "tokens_prompt": prompt_tokens,
        "tokens_completion": completion_tokens,
        "native_tokens_prompt": prompt_tokens,
        "native_tokens_completion": completion_tokens,
        "native_tokens_reasoning": details.get("reasoning_tokens", 0),
    }
    return {"data": data}
