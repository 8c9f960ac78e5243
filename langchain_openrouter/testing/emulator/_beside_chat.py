"""The bodies of the emulator's responses beside chat: embeddings, rerank, generations."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_str

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["embeddings", "generation", "rerank"]

_EMBEDDING_PRICE = 2e-08  # USD per token
_RERANK_PRICE = 0.001  # USD per search
_DIMENSIONS = 64


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
    cached_tokens = (get_dict(usage, "prompt_tokens_details") or {}).get("cached_tokens", 0)

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
        "native_tokens_cached": cached_tokens,
    }
    return {"data": data}
