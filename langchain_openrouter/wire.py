"""What goes over the wire, as TypedDicts: each with the page that specifies it.

Every vocabulary is open (`Literal[...] | str`), since OpenRouter adds values without notice, and
every field may be absent. Nothing here validates: answers are read leniently, requests are
checked by the service.

See https://openrouter.ai/docs/api-reference/overview and
https://openrouter.ai/docs/api-reference/parameters; "no effect" and "deprecated" are their words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

Json: TypeAlias = Mapping[str, Any]

Effort: TypeAlias = (
    Literal["max", "xhigh", "high", "medium", "low", "minimal", "none"] | str  # noqa: PYI051
)
ServiceTier: TypeAlias = (
    Literal["auto", "default", "fast", "flex", "priority", "scale", "ultrafast"] | str  # noqa: PYI051
)
Sort: TypeAlias = Literal["price", "throughput", "latency", "exacto"] | str  # noqa: PYI051


class CacheControl(TypedDict, total=False):
    """A prompt-cache breakpoint. https://openrouter.ai/docs/features/prompt-caching."""

    type: Literal["ephemeral"] | str  # noqa: PYI051 - open vocabulary
    ttl: Literal["5m", "1h"] | str  # noqa: PYI051 - open vocabulary


class PromptCacheOptions(TypedDict, total=False):
    """OpenAI's explicit caching, GPT-5.6 and later. Same page as `CacheControl`."""

    mode: str
    ttl: str


class Percentiles(TypedDict, total=False):
    """A soft routing preference by percentile: tokens a second, or seconds."""

    p50: float
    p75: float
    p90: float
    p99: float


class MaxPrice(TypedDict, total=False):
    """USD per million tokens (`prompt`, `completion`), per image or audio unit, per request.

    The specification says strings, the documentation numbers: both are sent as given.
    https://openrouter.ai/docs/features/provider-routing#max-price
    """

    prompt: float | str
    completion: float | str
    image: float | str
    audio: float | str
    request: float | str


class ProviderSort(TypedDict, total=False):
    """Sort endpoints within each model, or (`partition: "none"`) across all `models`."""

    by: Sort | None
    partition: Literal["model", "none"] | str | None  # noqa: PYI051 - open vocabulary


class ProviderPreferences(TypedDict, total=False):
    """Which endpoints may serve. https://openrouter.ai/docs/features/provider-routing."""

    order: Sequence[str] | None
    only: Sequence[str] | None
    ignore: Sequence[str] | None
    allow_fallbacks: bool | None
    require_parameters: bool | None
    data_collection: Literal["allow", "deny"] | str | None  # noqa: PYI051 - open vocabulary
    zdr: bool | None
    enforce_distillable_text: bool | None
    quantizations: Sequence[str] | None
    sort: Sort | ProviderSort | None
    preferred_min_throughput: float | Percentiles | None
    preferred_max_latency: float | Percentiles | None
    max_price: MaxPrice
    options: Mapping[str, Json]


class Reasoning(TypedDict, total=False):
    """One of `effort` and `max_tokens`. https://openrouter.ai/docs/use-cases/reasoning-tokens."""

    effort: Effort | None
    max_tokens: int | None
    exclude: bool
    enabled: bool
    summary: Literal["auto", "concise", "detailed"] | str | None  # noqa: PYI051
    context: Literal["auto", "all_turns", "current_turn"] | str | None  # noqa: PYI051
    mode: Literal["standard", "pro"] | str | None  # noqa: PYI051


class Plugin(TypedDict, total=False):
    """One plugin, told apart by `id`. https://openrouter.ai/docs/features/plugins.

    The fields of all plugins in one: web, web-fetch, file-parser, response-healing,
    context-compression, moderation, auto-router, auto-beta-router, pareto-router, fusion.
    """

    id: str
    enabled: bool
    engine: str
    mode: str
    max_results: int
    max_uses: int
    search_prompt: str
    include_domains: Sequence[str]
    exclude_domains: Sequence[str]
    user_location: Json
    x_search: Json
    max_content_tokens: int
    allowed_domains: Sequence[str]
    blocked_domains: Sequence[str]
    pdf: Json
    max_files: int
    allowed_models: Sequence[str]
    excluded_models: Sequence[str]
    cost_tier: str
    cost_quality_tradeoff: int
    pin_model: bool
    min_coding_score: float
    max_price: float
    price_source: str
    preset: str
    analysis_models: Sequence[str]
    model: str
    max_tool_calls: int
    tools: Sequence[Json]


class FunctionTool(TypedDict, total=False):
    """A tool the caller runs. https://openrouter.ai/docs/features/tool-calling."""

    type: Literal["function"]
    function: Json
    cache_control: CacheControl
    defer_loading: bool


class ServerTool(TypedDict, total=False):
    """A tool OpenRouter runs, `openrouter:web_search` for one.

    https://openrouter.ai/docs/features/server-tools
    """

    type: str
    parameters: Json


class Trace(TypedDict, total=False):
    """Broadcast metadata; other keys are custom. https://openrouter.ai/docs/features/broadcast."""

    trace_id: str
    trace_name: str
    span_name: str
    generation_name: str
    parent_span_id: str


class ReasoningDetail(TypedDict, total=False):
    """One reasoning block; sent back verbatim, never rearranged.

    `type` is reasoning.text, reasoning.summary, reasoning.encrypted or
    reasoning.server_tool_call.
    https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks
    """

    type: str
    id: str | None
    index: int
    format: str | None
    text: str | None
    signature: str | None
    summary: str
    data: str
    tool_name: str
    arguments: str
    result: str
    tool_call_id: str


class Part(TypedDict, total=False):
    """A content part: text, image_url, input_audio, video_url or file.

    https://openrouter.ai/docs/features/multimodal/overview
    """

    type: str
    text: str
    image_url: Json
    input_audio: Json
    video_url: Json
    file: Json
    cache_control: CacheControl
    prompt_cache_breakpoint: Json


class ToolCall(TypedDict, total=False):
    """A call of the caller's function; `arguments` is JSON text, and may be cut."""

    id: str
    type: str
    index: int
    function: Json


class Message(TypedDict, total=False):
    """A message of any role, sent or received.

    `reasoning_content` is an input alias of `reasoning`. `configuration_update` changes the
    effort in mid-conversation on a system or developer message.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"] | str  # noqa: PYI051
    content: str | Sequence[Part] | None
    name: str
    tool_call_id: str
    tool_calls: Sequence[ToolCall]
    reasoning: str | None
    reasoning_content: str | None
    reasoning_details: Sequence[ReasoningDetail]
    images: Sequence[Json]
    audio: Json | None
    annotations: Sequence[Json]
    refusal: str | None
    model: str
    configuration_update: Json


class ChatRequest(TypedDict, total=False):
    """The body of POST /chat/completions, in the order in which it is sent.

    The order is part of the response cache's key.
    https://openrouter.ai/docs/features/response-caching
    """

    model: str
    models: Sequence[str]
    preset: str
    messages: Sequence[Message]
    prompt: str
    """Legacy text completion. Never sent: `messages` takes its place."""
    stream: bool
    stream_options: Json
    """Deprecated, no effect: usage always comes."""
    usage: Json
    """Deprecated, no effect."""
    temperature: float
    top_p: float
    top_k: int
    top_a: float
    min_p: float
    frequency_penalty: float
    presence_penalty: float
    repetition_penalty: float
    max_tokens: int
    max_completion_tokens: int
    stop: str | Sequence[str]
    seed: int
    n: int
    logit_bias: Mapping[str, float]
    logprobs: bool
    top_logprobs: int
    tools: Sequence[FunctionTool | ServerTool]
    tool_choice: str | Json
    parallel_tool_calls: bool
    max_tool_calls: int
    stop_server_tools_when: Sequence[Json]
    deferred_tools: Json
    response_format: Json
    structured_outputs: bool
    reasoning: Reasoning
    reasoning_effort: Effort
    include_reasoning: bool
    """Legacy: true is `reasoning: {}`, false is `reasoning: {"exclude": true}`."""
    verbosity: str
    provider: ProviderPreferences
    route: Literal["fallback", "sort"] | str  # noqa: PYI051
    """Deprecated alias of `provider.sort.partition`."""
    plugins: Sequence[Plugin]
    web_search_options: Json
    x_search_filter: Json
    modalities: Sequence[Literal["text", "image", "audio"] | str]  # noqa: PYI051
    image_config: Json
    audio: Json
    prediction: Json
    service_tier: ServiceTier
    speed: str
    cache_control: CacheControl
    prompt_cache_key: str
    prompt_cache_options: PromptCacheOptions
    session_id: str
    user: str
    metadata: Mapping[str, str]
    trace: Trace
    debug: Json


class PromptTokensDetails(TypedDict, total=False):
    """Of the prompt tokens: how many were of which kind."""

    cached_tokens: int
    cache_write_tokens: int
    audio_tokens: int
    video_tokens: int


class CompletionTokensDetails(TypedDict, total=False):
    """Of the completion tokens: how many were of which kind."""

    reasoning_tokens: int
    audio_tokens: int
    image_tokens: int
    accepted_prediction_tokens: int
    rejected_prediction_tokens: int


class CostDetails(TypedDict, total=False):
    """USD. `upstream_inference_cost` is null unless the endpoint is the caller's own (BYOK)."""

    upstream_inference_cost: float | None
    upstream_inference_prompt_cost: float
    upstream_inference_completions_cost: float
    server_tool_cost: float


class Usage(TypedDict, total=False):
    """Counts by the model's own tokenizer; `cost` in USD.

    The specification says `server_tool_use_details`, the documentation `server_tool_use`.
    https://openrouter.ai/docs/use-cases/usage-accounting
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | None
    completion_tokens_details: CompletionTokensDetails | None
    cost: float | None
    cost_details: CostDetails | None
    is_byok: bool
    server_tool_use_details: Json
    server_tool_use: Json


class Error(TypedDict, total=False):
    """The `error` of a status, a 200 body, a choice or an event: `code` may be anything.

    https://openrouter.ai/docs/api-reference/errors
    """

    code: int | str
    http_status: int
    message: str
    error_type: str
    metadata: Json
    availability: Json


class Choice(TypedDict, total=False):
    """One choice: `message` when whole, `delta` in a stream."""

    index: int
    finish_reason: str | None
    native_finish_reason: str | None
    logprobs: Json | None
    message: Message | None
    delta: Message | None
    error: Error | None


class ChatResult(TypedDict, total=False):
    """A whole answer, or one event of a stream (`object` tells which)."""

    id: str
    object: str
    created: int
    model: str
    provider: str
    system_fingerprint: str | None
    service_tier: str | None
    choices: Sequence[Choice]
    usage: Usage | None
    error: Error | None
    openrouter_metadata: Json | None
    debug: Json
    safeguard_results: Sequence[Json]
    alignment: Json
    user_id: str | None


REQUEST_FIELDS: tuple[str, ...] = tuple(ChatRequest.__annotations__)
"""Every field of a request, in the order in which it is sent."""
