"""The models and providers that the emulator lists, and which slugs name one of them."""

from __future__ import annotations

import difflib
import json
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from langchain_openrouter import _model_profiles
from langchain_openrouter._json import get_dict, get_str

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MODELS",
    "base_slug",
    "endpoints",
    "endpoints_of",
    "find_batch_model",
    "find_model",
    "is_mandatory_reasoning",
    "listing",
    "price_of",
    "providers",
    "takes_forced_tools",
    "unknown_slug_error",
]

_CHAT_PARAMETERS = (
    "max_tokens max_completion_tokens stop seed tools tool_choice response_format "
    "structured_outputs"
)
_SAMPLING_PARAMETERS = "temperature top_p"
_MAX_SLUG_LENGTH = 200  # characters that are compared with the slugs of the catalog
_VARIANT = re.compile(r"@preset/.*|:[a-z]+$")
_ROUTERS = "openrouter/"

# slug | name | context length | USD per token: prompt, completion, cache read, cache write
#      | inputs | outputs | flags
# `mandatory`: reasoning cannot be turned off; `auto-tools`: a forced tool is refused;
# `fixed-sampling`: no temperature; `batch`: the Batch API takes it, at half the price
_MODELS = """
openai/gpt-4o-mini | OpenAI: GPT-4o-mini | 128000 | 0.00000015 0.0000006 0.000000075 \
    | text image file | text | batch
openai/gpt-5.6-luna | OpenAI: GPT-5.6 Luna | 1050000 \
    | 0.0000002 0.0000012 0.00000002 0.00000025 | text image | text | reasoning batch
anthropic/claude-sonnet-4.6 | Anthropic: Claude Sonnet 4.6 | 1000000 \
    | 0.000003 0.000015 0.0000003 0.00000375 | text image file | text | reasoning batch
anthropic/claude-opus-5.5 | Anthropic: Claude Opus 5.5 | 1000000 \
    | 0.000004 0.00002 0.0000002 0.000005 | text image | text \
    | reasoning mandatory auto-tools fixed-sampling batch
anthropic/claude-sonnet-5.5 | Anthropic: Claude Sonnet 5.5 | 1000000 \
    | 0.000002 0.00001 0.0000001 0.0000025 | text image | text \
    | reasoning mandatory auto-tools fixed-sampling batch
anthropic/claude-haiku-5.5 | Anthropic: Claude Haiku 5.5 | 1000000 \
    | 0.0000001 0.0000005 0.00000001 0.000000125 | text image | text \
    | reasoning fixed-sampling batch
google/gemini-2.5-flash | Google: Gemini 2.5 Flash | 1048576 | 0.0000003 0.0000025 0.00000003 \
    | text image file audio video | text | reasoning
deepseek/deepseek-chat:free | DeepSeek: Chat (free) | 64000 | 0 0 | text | text |
google/gemini-2.5-flash-image | Google: Gemini 2.5 Flash Image | 32768 | 0.0000003 0.0000025 \
    | text image | text image |
openai/text-embedding-3-small | OpenAI: Embedding 3 small | 8192 | 0.00000002 0 \
    | text | embeddings | batch
cohere/rerank-v3.5 | Cohere: Rerank 3.5 | 4096 | 0 0 | text | rerank |
"""
_ALIASES = {
    "~anthropic/claude-opus-latest": "anthropic/claude-opus-5.5",
    "~anthropic/claude-sonnet-latest": "anthropic/claude-sonnet-5.5",
    "~anthropic/claude-haiku-latest": "anthropic/claude-haiku-5.5",
}

# tag | display name | its price as a factor | latency, ms | throughput, tokens per second
_PROVIDERS = """
openai | OpenAI | 1 | 400 | 90
azure | Azure | 2 | 800 | 120
anthropic | Anthropic | 1 | 900 | 60
amazon-bedrock | Amazon Bedrock | 1.1 | 600 | 50
google-vertex | Google | 1.1 | 700 | 110
google-ai-studio | Google AI Studio | 1 | 900 | 80
deepseek | DeepSeek | 1 | 1200 | 30
deepinfra | DeepInfra | 0.8 | 700 | 70
cohere | Cohere | 1 | 300 | 100
groq | Groq | 1 | 150 | 500
together | Together | 1 | 500 | 100
fireworks | Fireworks | 1 | 450 | 140
cerebras | Cerebras | 1.5 | 120 | 1500
mistral | Mistral | 1 | 500 | 80
xai | xAI | 1 | 600 | 90
"""
_SERVED_BY = {
    "openai": ("openai", "azure"),
    "anthropic": ("anthropic", "amazon-bedrock", "google-vertex"),
    "google": ("google-vertex", "google-ai-studio"),
    "deepseek": ("deepseek", "deepinfra"),
    "cohere": ("cohere",),
    "mistralai": ("mistral",),
    "x-ai": ("xai",),
}


# --- models -----------------------------------------------------------------------------------


def _parse_model(line: str) -> dict[str, Any]:
    """Return an entry of `GET /models`."""
    slug, name, context, prices, inputs, outputs, flags = map(str.strip, line.split("|"))
    is_chat = "text" in outputs.split()
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
        "pricing": _pricing(*prices.split()),
        "top_provider": top_provider,
        "per_request_limits": None,
        "supported_parameters": _parameters(set(flags.split())) if is_chat else [],
        "supported_voices": None,
        "default_parameters": None,
        "knowledge_cutoff": None,
        "expiration_date": None,
        "hugging_face_id": None,
        "links": {"details": f"/api/v1/models/{slug}/endpoints"},
        **({"reasoning": _reasoning(set(flags.split()))} if "reasoning" in flags else {}),
    }


def _pricing(prompt: str, completion: str, *cache_prices: str) -> dict[str, str]:
    names = ("input_cache_read", "input_cache_write")
    prices = {"prompt": prompt, "completion": completion, "request": "0", "image": "0"}
    return {**prices, **dict(zip(names, cache_prices, strict=False))}


def _parameters(flags: set[str]) -> list[str]:
    sampling = "" if "fixed-sampling" in flags else _SAMPLING_PARAMETERS
    reasoning = "reasoning include_reasoning" if "reasoning" in flags else ""
    return f"{sampling} {_CHAT_PARAMETERS} {reasoning}".split()


def _reasoning(flags: set[str]) -> dict[str, Any]:
    is_mandatory = "mandatory" in flags
    return {
        "mandatory": is_mandatory,
        "supported_efforts": ["high", "medium", "low"],
        "default_enabled": is_mandatory,
        "supports_max_tokens": not is_mandatory,
    }


def _architecture(inputs: list[str], outputs: list[str]) -> dict[str, Any]:
    return {
        "modality": f"{'+'.join(inputs)}->{'+'.join(outputs)}",
        "input_modalities": inputs,
        "output_modalities": outputs,
        "tokenizer": "Other",
        "instruct_type": None,
    }


_LINES = _MODELS.strip().splitlines()
_BY_SLUG = {model["id"]: model for model in map(_parse_model, _LINES)}
_AUTO_TOOLS = {line.split("|")[0].strip() for line in _LINES if "auto-tools" in line}


def _alias(slug: str, target: str) -> dict[str, Any]:
    """Return the entry of an alias that follows a family's newest model."""
    model = _BY_SLUG[target]
    alias_target = {"slug": target, "name": model["name"]}
    links = {"details": f"/api/v1/models/{slug}/endpoints"}
    return {**model, "id": slug, "links": links, "alias_target": alias_target}


def _batch_variant(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry that says that the Batch API takes a model, at half its prices."""
    prices = {name: _to_price(float(price) / 2) for name, price in model["pricing"].items()}
    slug = f"{model['id']}{_BATCH}"
    links = {"details": f"/api/v1/models/{slug}/endpoints"}
    name = f"{model['name']} (batch)"
    return {**model, "id": slug, "name": name, "pricing": prices, "links": links}


def _to_price(usd: float) -> str:
    return f"{usd:.12f}".rstrip("0").rstrip(".") or "0"


_BATCH = ":batch"
MODELS: tuple[dict[str, Any], ...] = (
    *_BY_SLUG.values(),
    *(_alias(slug, target) for slug, target in _ALIASES.items()),
    *(
        _batch_variant(model)
        for model, line in zip(_BY_SLUG.values(), _LINES, strict=True)
        if "batch" in line.rpartition("|")[2].split()
    ),
)
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


def find_batch_model(slug: str) -> dict[str, Any] | None:
    """Return the entry of a model's batch variant; None if the Batch API does not take it."""
    return find_model(f"{base_slug(slug)}{_BATCH}")


def base_slug(slug: str) -> str:
    """Return the slug that is served: without preset and variant, an alias resolved."""
    base = _VARIANT.sub("", slug)
    return _ALIASES.get(base, base.lstrip("~"))


def takes_forced_tools(slug: str) -> bool:
    """Tell whether a model takes a `tool_choice` other than "auto" and "none"."""
    return base_slug(slug) not in _AUTO_TOOLS


def unknown_slug_error(slug: str) -> str | None:
    """Return the service's message for a slug that no model has; None for a model's.

    Known are the emulator's models and those of the bundled profiles, with any variant.
    """
    is_router = slug.startswith((_ROUTERS, "@preset/"))
    if is_router or base_slug(slug) in _known_slugs() or _model_profiles.profile_of(slug):
        return None

    near = difflib.get_close_matches(slug[:_MAX_SLUG_LENGTH], _known_slugs(), n=3)
    hint = f". Did you mean {', '.join(near)}?" if near else ""
    return f"{slug} is not a valid model ID{hint}"


@cache
def _known_slugs() -> frozenset[str]:
    text = files("langchain_openrouter").joinpath(_model_profiles.FILE).read_text(encoding="utf-8")
    listed = {model["id"] for model in MODELS if not model["id"].endswith(_BATCH)}
    return frozenset(json.loads(text)["models"]) | listed


# --- endpoints, providers ---------------------------------------------------------------------


def _parse_provider(line: str) -> dict[str, Any]:
    tag, name, price, latency, throughput = map(str.strip, line.split("|"))

    return {
        "tag": tag,
        "name": name,
        "price": float(price),
        "latency": float(latency),
        "throughput": float(throughput),
    }


_BY_TAG = {row["tag"]: row for row in map(_parse_provider, _PROVIDERS.strip().splitlines())}


def endpoints(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of `GET /models/{author}/{slug}/endpoints`: one per provider."""
    names = ("id", "name", "created", "description", "architecture")
    rows = endpoints_of(model["id"])
    return {"data": {**{name: model[name] for name in names}, "endpoints": rows}}


def endpoints_of(slug: str, more: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return a model's endpoints, the one that serves by default first.

    Args:
        slug: A model's; one that is not listed has the prices of a small model.
        more: Tags or names of further providers, for a model that is not listed: any provider
            that the emulator knows serves it.
    """
    base = base_slug(slug)
    listed = find_model(slug) or find_model(base)
    model = {**(listed or _BY_SLUG["openai/gpt-4o-mini"])}
    vendor = base.partition("/")[0]
    tags = list(_SERVED_BY.get(vendor, (vendor,)))
    if listed is None:
        model |= {"id": base, "name": base}
        names = {name.lower() for name in more}
        tags += [tag for tag, row in _BY_TAG.items() if {tag, row["name"].lower()} & names]

    return [_endpoint(model, tag) for tag in dict.fromkeys(tags)]


def _endpoint(model: Mapping[str, Any], tag: str) -> dict[str, Any]:
    row = _BY_TAG.get(tag) or {**_BY_TAG["openai"], "tag": tag, "name": tag.title()}
    pricing = {
        name: _to_price(float(price) * row["price"]) for name, price in model["pricing"].items()
    }
    takes_forced = takes_forced_tools(model["id"])
    has_tools = "tools" in model["supported_parameters"]

    return {
        "name": f"{row['name']} | {model['id']}",
        "model_id": model["id"],
        "model_name": model["name"],
        "provider_name": row["name"],
        "tag": tag,
        "context_length": model["context_length"],
        "max_completion_tokens": 16384,
        "max_prompt_tokens": None,
        "quantization": "unknown",
        "pricing": pricing,
        "supported_parameters": model["supported_parameters"],
        "supports_tool_choice": {
            "auto": has_tools,
            "none": has_tools,
            "required": has_tools and takes_forced,
            "function": has_tools and takes_forced,
        },
        "native_tools": _native_tools(tag) if has_tools else {},
        "service_tier": None,
        "status": 0,
        "uptime_last_30m": 99.9,
        "uptime_last_5m": 100.0,
        "uptime_last_1d": 99.8,
        "supports_implicit_caching": "input_cache_read" in pricing,
        "supports_diarization": False,
        "latency_last_30m": _percentiles(row["latency"], 600.0, 900.0, 2000.0),
        "throughput_last_30m": _percentiles(row["throughput"], 70.0, 50.0, 20.0),
    }


def _percentiles(*values: float) -> dict[str, float]:
    return dict(zip(("p50", "p75", "p90", "p99"), values, strict=True))


def _native_tools(tag: str) -> dict[str, Any]:
    """Return the server tools that a provider runs itself."""
    if tag in {"openai", "azure"}:
        return {"openrouter:web_search": {"type": "web_search"}}
    if tag == "anthropic":
        return {"openrouter:web_search": {"type": "web_search_20250305"}}
    return {}


def providers() -> dict[str, Any]:
    """Return the body of `GET /providers`."""
    pages = ("privacy_policy_url", "terms_of_service_url", "status_page_url")
    rows = [
        {
            "name": row["name"],
            "slug": row["tag"],
            **dict.fromkeys(pages),
            "headquarters": "US",
            "datacenters": ["US"],
        }
        for row in _BY_TAG.values()
    ]

    return {"data": rows}


def is_mandatory_reasoning(slug: str) -> bool:
    """Tell whether a model always reasons."""
    model = find_model(base_slug(slug))
    return bool((get_dict(model, "reasoning") or {}).get("mandatory")) if model else False


def price_of(endpoint: Mapping[str, Any], name: str, default: float = 0.0) -> float:
    """Return a price of an endpoint, USD per token."""
    text = get_str(get_dict(endpoint, "pricing"), name)
    return default if text is None else float(text)
