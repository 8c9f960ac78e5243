"""The models the emulator lists, and what it answers beside chat; pure."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from typing import TYPE_CHECKING, Any

from langchain_openrouter._json import get_dict, get_str

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CHAT = ["temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "tools",
         "tool_choice", "response_format", "structured_outputs"]  # fmt: skip
_EMBEDDING_PRICE = 2e-08
_RERANK_PRICE = 0.001
_DIMENSIONS = 64


def _model(  # noqa: PLR0913 - a row of the list below
    slug: str, name: str, context: int, prompt: str, completion: str, *,
    inputs: Sequence[str] = ("text",), outputs: Sequence[str] = ("text",), reasons: bool = False,
) -> dict[str, Any]:  # fmt: skip
    parameters = [*_CHAT, *(["reasoning", "include_reasoning"] if reasons else [])]
    row = {
        "id": slug,
        "canonical_slug": slug,
        "name": name,
        "created": 1735689600,
        "description": f"{name}, as far as the emulator goes.",
        "context_length": context,
        "architecture": {
            "modality": f"{'+'.join(inputs)}->{'+'.join(outputs)}",
            "input_modalities": list(inputs),
            "output_modalities": list(outputs),
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "pricing": {"prompt": prompt, "completion": completion, "request": "0", "image": "0"},
        "top_provider": {
            "context_length": context, "max_completion_tokens": 16384, "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": parameters if "text" in outputs else [],
        "default_parameters": None,
        "knowledge_cutoff": None,
        "expiration_date": None,
        "hugging_face_id": None,
        "links": {"details": f"/api/v1/models/{slug}/endpoints"},
    }  # fmt: skip
    if reasons:
        row["reasoning"] = {"mandatory": False, "supported_efforts": ["high", "medium", "low"],
                            "default_enabled": False, "supports_max_tokens": True}  # fmt: skip
    return row


MODELS: tuple[dict[str, Any], ...] = (
    _model("openai/gpt-4o-mini", "OpenAI: GPT-4o-mini", 128_000, "0.00000015", "0.0000006",
           inputs=("text", "image", "file")),
    _model("anthropic/claude-sonnet-4.6", "Anthropic: Claude Sonnet 4.6", 1_000_000, "0.000003",
           "0.000015", inputs=("text", "image", "file"), reasons=True),
    _model("google/gemini-2.5-flash", "Google: Gemini 2.5 Flash", 1_048_576, "0.0000003",
           "0.0000025", inputs=("text", "image", "file", "audio", "video"), reasons=True),
    _model("deepseek/deepseek-chat:free", "DeepSeek: Chat (free)", 64_000, "0", "0"),
    _model("google/gemini-2.5-flash-image", "Google: Gemini 2.5 Flash Image", 32_768, "0.0000003",
           "0.0000025", inputs=("text", "image"), outputs=("text", "image")),
    _model("openai/text-embedding-3-small", "OpenAI: Embedding 3 small", 8_192, "0.00000002", "0",
           outputs=("embeddings",)),
    _model("cohere/rerank-v3.5", "Cohere: Rerank 3.5", 4_096, "0", "0", outputs=("rerank",)),
)  # fmt: skip


def listing(query: Mapping[str, str]) -> dict[str, Any]:
    """Return `GET /models`: text models, unless other outputs are asked for."""
    wanted = query.get("output_modalities", "text")
    rows = [m for m in MODELS if wanted == "all"
            or set(wanted.split(",")) & set(m["architecture"]["output_modalities"])]  # fmt: skip
    for parameter in filter(None, query.get("supported_parameters", "").split(",")):
        rows = [m for m in rows if parameter in m["supported_parameters"]]
    if text := query.get("q", "").lower():
        rows = [m for m in rows if text in f"{m['id']} {m['name']}".lower()]
    total, start = len(rows), int(query.get("offset", 0))
    rows = rows[start : start + int(query.get("limit", total or 1))]
    return {"data": rows, "total_count": total, "links": {"next": None}}


def one(slug: str) -> dict[str, Any] | None:
    """Return a model of the list; None for one that is not in it."""
    return next((m for m in MODELS if slug in {m["id"], m["canonical_slug"]}), None)


def endpoints(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return `GET /models/{author}/{slug}/endpoints`: two providers, the second dearer."""
    rows = []
    for number, (provider, tag) in enumerate((("OpenAI", "openai"), ("Azure", "azure")), start=1):
        pricing = {k: f"{float(v) * number:.10f}".rstrip("0").rstrip(".") or "0"
                   for k, v in model["pricing"].items()}  # fmt: skip
        rows.append({
            "name": f"{provider} | {model['id']}", "model_id": model["id"],
            "model_name": model["name"], "provider_name": provider, "tag": tag,
            "context_length": model["context_length"], "max_completion_tokens": 16384,
            "max_prompt_tokens": None, "quantization": "unknown", "pricing": pricing,
            "supported_parameters": model["supported_parameters"], "status": 0,
            "uptime_last_30m": 99.9, "uptime_last_5m": 100.0, "uptime_last_1d": 99.8,
            "supports_implicit_caching": False,
            "latency_last_30m": {"p50": 400.0 * number, "p75": 600.0, "p90": 900.0, "p99": 2000.0},
            "throughput_last_30m": {"p50": 90.0 / number, "p75": 70.0, "p90": 50.0, "p99": 20.0},
        })  # fmt: skip
    names = ("id", "name", "created", "description", "architecture")
    return {"data": {**{name: model[name] for name in names}, "endpoints": rows}}


def providers() -> dict[str, Any]:
    """Return `GET /providers`."""
    rows = [{"name": name, "slug": name.lower(), "privacy_policy_url": None,
             "terms_of_service_url": None, "status_page_url": None, "headquarters": "US",
             "datacenters": ["US"]} for name in ("OpenAI", "Azure", "Anthropic")]  # fmt: skip
    return {"data": rows}


def embeddings(body: Mapping[str, Any], generation_id: str) -> dict[str, Any]:
    """Return `POST /embeddings`: vectors of words, so that texts which share words are near."""
    given = body["input"]
    many = (
        given if isinstance(given, list) and not (given and isinstance(given[0], int)) else [given]
    )
    size = body.get("dimensions") or _DIMENSIONS
    data = []
    for index, text in enumerate(many):
        vector = vector_of(text if isinstance(text, str) else str(text), size)
        shown: Any = vector
        if body.get("encoding_format") == "base64":
            shown = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "embedding": shown, "index": index})
    tokens = sum(len(str(text)) // 4 + 1 for text in many)
    cost = round(tokens * _EMBEDDING_PRICE, 12)
    return {
        "object": "list",
        "data": data,
        "model": str(body["model"]).rpartition("/")[2],
        "usage": {
            "prompt_tokens": tokens, "total_tokens": tokens, "cost": cost, "is_byok": False,
            "cost_details": {
                "upstream_inference_cost": cost, "upstream_inference_prompt_cost": cost,
                "upstream_inference_completions_cost": 0,
            },
        },
        "provider": "OpenAI",
        "id": generation_id.replace("gen-", "gen-emb-", 1),
    }  # fmt: skip


def vector_of(text: str, size: int) -> list[float]:
    """Return a unit vector of a text's words."""
    vector = [0.0] * size
    for word in re.findall(r"\w+", text.lower()):
        digest = hashlib.sha256(word.encode()).digest()
        vector[int.from_bytes(digest[:4], "big") % size] += 1.0 if digest[4] % 2 else -1.0
    length = sum(x * x for x in vector) ** 0.5 or 1.0
    return [x / length for x in vector]


def rerank(body: Mapping[str, Any], generation_id: str) -> dict[str, Any]:
    """Return `POST /rerank`: by the share of the query's words that a document has."""
    asked = set(re.findall(r"\w+", str(body["query"]).lower()))
    results: list[dict[str, Any]] = []
    for index, document in enumerate(body["documents"]):
        text = document if isinstance(document, str) else get_str(document, "text") or ""
        share = len(asked & set(re.findall(r"\w+", text.lower()))) / (len(asked) or 1)
        shown = {"text": document} if isinstance(document, str) else document
        results.append({"document": shown, "index": index, "relevance_score": round(share, 6)})
    results.sort(key=lambda result: (-result["relevance_score"], result["index"]))
    return {
        "id": generation_id.replace("gen-", "gen-rerank-", 1),
        "model": str(body["model"]).rpartition("/")[2],
        "provider": "Cohere",
        "results": results[: body.get("top_n")],
        "usage": {"cost": _RERANK_PRICE, "search_units": 1},
    }


def generation(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return `GET /generation` of an answer that the emulator gave."""
    usage = get_dict(answer, "usage") or {}
    details = get_dict(usage, "completion_tokens_details") or {}
    return {"data": {
        "id": answer["id"], "upstream_id": None, "total_cost": usage.get("cost", 0),
        "usage": usage.get("cost", 0), "cache_discount": None, "upstream_inference_cost": 0,
        "created_at": "2026-01-02T03:04:05+00:00", "model": answer["model"], "app_id": None,
        "provider_name": answer["provider"], "streamed": answer["streamed"], "cancelled": False,
        "latency": 120, "moderation_latency": None, "generation_time": 480,
        "finish_reason": answer["finish_reason"], "origin": "", "api_type": "completions",
        "native_finish_reason": answer["native_finish_reason"], "external_user": answer["user"],
        "tokens_prompt": usage.get("prompt_tokens", 0), "is_byok": False,
        "tokens_completion": usage.get("completion_tokens", 0),
        "native_tokens_prompt": usage.get("prompt_tokens", 0),
        "native_tokens_completion": usage.get("completion_tokens", 0),
        "native_tokens_reasoning": details.get("reasoning_tokens", 0),
        "native_tokens_cached": 0, "native_tokens_completion_images": None,
        "num_media_prompt": None, "num_input_audio_prompt": None, "num_media_completion": 0,
        "num_search_results": None,
    }}  # fmt: skip
