"""What goes over the wire, as TypedDicts: each with the page that specifies it.

Every vocabulary is open (`Literal[...] | str`), since OpenRouter adds values without notice, and
every field may be absent. Nothing here validates: answers are read leniently, requests are
checked by the service.

See https://openrouter.ai/docs/api-reference/overview and
https://openrouter.ai/docs/api-reference/parameters; "no effect" and "deprecated" are their words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from typing_extensions import TypedDict

Json: TypeAlias = Mapping[str, Any]

Effort: TypeAlias = (
    Literal["max", "xhigh", "high", "medium", "low", "minimal", "none"] | str  # noqa: PYI051
)
ServiceTier: TypeAlias = (
    Literal["auto", "default", "fast", "flex", "priority", "scale", "ultrafast"] | str  # noqa: PYI051
)
KnownPlugin = Literal[
    "web",
    "web-fetch",
    "file-parser",
    "response-healing",
    "context-compression",
    "moderation",
    "alignment",
    "armor",
    "auto-router",
    "auto-beta-router",
    "pareto-router",
    "jev-router",
    "switchyard-router",
    "fusion",
]
PluginId: TypeAlias = KnownPlugin | str
KnownServerTool = Literal[
    "openrouter:web_search",
    "openrouter:web_fetch",
    "openrouter:datetime",
    "openrouter:image_generation",
    "openrouter:advisor",
    "openrouter:subagent",
    "openrouter:fusion",
    "openrouter:bash",
    "openrouter:shell",
    "openrouter:files",
    "openrouter:apply_patch",
    "openrouter:tool_search",
    "openrouter:experimental__search_models",
]
ServerToolType: TypeAlias = KnownServerTool | str
Sort: TypeAlias = Literal["price", "throughput", "latency", "exacto"] | str  # noqa: PYI051


class CacheControl(TypedDict, total=False):
    """A prompt-cache breakpoint. https://openrouter.ai/docs/features/prompt-caching."""

    type: Literal["ephemeral"] | str  # noqa: PYI051 - open vocabulary
    ttl: Literal["5m", "1h"] | str  # noqa: PYI051 - open vocabulary


class PromptCacheOptions(TypedDict, total=False):
    """OpenAI's explicit caching, GPT-5.6 and later. Same page as `CacheControl`.

    With mode "explicit" only what is marked is written, and without a mark nothing.
    """

    mode: Literal["explicit"] | str  # noqa: PYI051 - open vocabulary
    ttl: Literal["30m", "12h"] | str  # noqa: PYI051 - open vocabulary


class PromptCacheBreakpoint(TypedDict, total=False):
    """OpenAI's mark on a text part; OpenRouter translates it into `cache_control` and back."""

    mode: Literal["explicit"] | str  # noqa: PYI051 - open vocabulary
    ttl: Literal["30m", "12h"] | str  # noqa: PYI051 - open vocabulary


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

    The fields of all plugins in one; `PluginId` lists them.
    """

    id: PluginId
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
    models: Sequence[str]
    algorithm: str
    judge_model: str
    rules: Sequence[AlignmentRule]
    instruct: bool
    max_retries: int
    threshold: float
    classifier_context: Json
    evaluate_native_tools: bool
    on_error: Literal["log", "block"] | str  # noqa: PYI051 - open vocabulary
    output_mode: str
    use_cc_style_default_rules: bool


class AlignmentRule(TypedDict, total=False):
    """A rule of the plugin `alignment` (beta), and the fields of a message that it is about."""

    rule: str
    watch: Sequence[str]


class DeferredToolSearch(TypedDict, total=False):
    """How deferred tools are searched; "custom" is a tool of the caller's."""

    type: Literal["bm25", "regex", "custom"] | str  # noqa: PYI051 - open vocabulary
    max_results: int
    tool_id: str
    result_key: str


class DeferredTools(TypedDict, total=False):
    """Tools with `defer_loading` are searched by OpenRouter instead of being in the prompt.

    Reasoning goes back unchanged and the tools stay the same; an error says what was not so in
    `ErrorMetadata.code`.
    """

    protocol: Literal["v1"] | str  # noqa: PYI051 - open vocabulary
    profile: Literal["portable"] | str  # noqa: PYI051 - open vocabulary
    validation: Literal["runtime"] | str  # noqa: PYI051 - open vocabulary
    search: DeferredToolSearch


class FunctionTool(TypedDict, total=False):
    """A tool the caller runs. https://openrouter.ai/docs/features/tool-calling."""

    type: Literal["function"]
    function: Function
    cache_control: CacheControl
    defer_loading: bool


class ServerTool(TypedDict, total=False):
    """A tool OpenRouter runs, `openrouter:web_search` for one.

    https://openrouter.ai/docs/features/server-tools
    """

    type: ServerToolType
    parameters: ServerToolParameters


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


class UserLocation(TypedDict, total=False):
    """Where the searcher is, approximately."""

    type: str
    city: str
    region: str
    country: str
    timezone: str


class XSearch(TypedDict, total=False):
    """xAI's search on X; the handles exclude each other. Invalid ones are silently dropped.

    https://openrouter.ai/docs/features/web-search
    """

    allowed_x_handles: Sequence[str]
    excluded_x_handles: Sequence[str]
    from_date: str
    to_date: str
    enable_image_understanding: bool
    enable_video_understanding: bool


class ServerToolParameters(TypedDict, total=False):
    """The `parameters` of all server tools in one: web_search, web_fetch, datetime, ...

    https://openrouter.ai/docs/features/server-tools
    """

    engine: str
    mode: str
    max_results: int
    max_total_results: int
    max_uses: int
    search_context_size: str
    max_characters: int
    allowed_domains: Sequence[str]
    excluded_domains: Sequence[str]
    blocked_domains: Sequence[str]
    user_location: UserLocation
    x_search: XSearch
    max_content_tokens: int
    timezone: str
    model: str
    analysis_models: Sequence[str]
    max_tool_calls: int
    max_completion_tokens: int
    reasoning: Json
    temperature: float
    tools: Sequence[Json]
    cache_control: CacheControl
    name: str
    instructions: str
    forward_transcript: bool
    stream: bool
    inherit_functions: bool
    inherited_function_names: Sequence[str]
    environment: Json
    container_id: str
    sleep_after_seconds: int


class StopCondition(TypedDict, total=False):
    """One of `stop_server_tools_when`; any of them that holds ends the loop."""

    type: str
    step_count: int
    tool_name: str
    max_tokens: int
    max_cost_in_dollars: float
    reason: str


class Function(TypedDict, total=False):
    """What a function tool declares (`parameters`) or a call names (`arguments`, JSON text)."""

    name: str
    description: str
    parameters: Json
    strict: bool | None
    arguments: str


class JsonSchema(TypedDict, total=False):
    """A named schema. `strict` can leave no endpoint that serves."""

    name: str
    description: str
    schema: Json
    strict: bool | None


class ResponseFormat(TypedDict, total=False):
    """text, json_object, json_schema, grammar or python.

    https://openrouter.ai/docs/features/structured-outputs
    """

    type: str
    json_schema: JsonSchema
    grammar: str


class StreamOptions(TypedDict, total=False):
    """Deprecated, no effect."""

    include_usage: bool


class Debug(TypedDict, total=False):
    """Streams only; not for production. https://openrouter.ai/docs/api-reference/errors."""

    echo_upstream_body: bool


class ImageUrl(TypedDict, total=False):
    """An image or a video by URL or data URL."""

    url: str
    detail: str


class Audio(TypedDict, total=False):
    """Sound: asked for (`voice`, `format`), sent (`data`, `format`) or received.

    https://openrouter.ai/docs/features/multimodal/audio
    """

    voice: str
    format: str
    id: str
    data: str
    expires_at: int
    transcript: str


class File(TypedDict, total=False):
    """A file by URL, data URL or id; in an answer, parsed (`hash`, `name`, `content`).

    https://openrouter.ai/docs/features/multimodal/pdfs
    """

    filename: str
    file_data: str
    file_id: str
    hash: str
    name: str
    content: Sequence[Json]


class UrlCitation(TypedDict, total=False):
    """A source; all but `url` may be missing."""

    url: str
    title: str
    content: str
    start_index: int
    end_index: int


class Annotation(TypedDict, total=False):
    """A citation, or a parsed file, which goes back so that it is not parsed again."""

    type: str
    url_citation: UrlCitation
    file: File


class Part(TypedDict, total=False):
    """A content part: text, image_url, input_audio, video_url or file.

    https://openrouter.ai/docs/features/multimodal/overview
    """

    type: str
    text: str
    image_url: ImageUrl
    input_audio: Audio
    video_url: ImageUrl
    file: File
    cache_control: CacheControl
    prompt_cache_breakpoint: PromptCacheBreakpoint


class ToolCall(TypedDict, total=False):
    """A call of the caller's function; `arguments` is JSON text, and may be cut."""

    id: str
    type: str
    index: int
    function: Function


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
    images: Sequence[Part]
    audio: Audio | None
    annotations: Sequence[Annotation]
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
    stream_options: StreamOptions
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
    stop_server_tools_when: Sequence[StopCondition]
    deferred_tools: DeferredTools
    response_format: ResponseFormat
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
    x_search_filter: XSearch
    modalities: Sequence[Literal["text", "image", "audio"] | str]  # noqa: PYI051
    image_config: Json
    audio: Audio
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
    debug: Debug


class ReasoningText(TypedDict, total=False):
    """A part of a reasoning item: of type summary_text or reasoning_text."""

    type: str
    text: str


class ReasoningItem(TypedDict, total=False):
    """Reasoning of `POST /responses`, to be sent back as it came."""

    type: str
    id: str
    status: str
    summary: Sequence[ReasoningText] | None
    content: Sequence[ReasoningText] | None
    encrypted_content: str | None
    signature: str | None
    format: str | None


class OutputPart(TypedDict, total=False):
    """A part of an answer: output_text or refusal."""

    type: str
    text: str
    annotations: Sequence[Json]
    logprobs: Sequence[Json]
    refusal: str


class OutputMessage(TypedDict, total=False):
    """A message of an answer. `phase`, of GPT-5.3-codex and later, has to be sent back."""

    type: str
    id: str
    role: str
    status: str
    content: Sequence[OutputPart] | str | None
    phase: Literal["commentary", "final_answer"] | str | None  # noqa: PYI051 - open vocabulary


# In this form because of the keyword among its keys.
FunctionCall = TypedDict(
    "FunctionCall",
    {
        "type": str,
        "id": str,
        "call_id": str,
        "name": str,
        "arguments": str,
        "status": str,
        "async": bool,
        "namespace": str,
    },
    total=False,
)
"""A call of the caller's function, in `POST /responses`; `async` if the model does not wait."""


class InputPart(TypedDict, total=False):
    """A part of a message or of a tool's result: input_text, input_image, input_file, ..."""

    type: str
    text: str
    image_url: str | None
    detail: str
    file_data: str
    file_url: str
    file_id: str | None
    filename: str
    input_audio: Audio
    video_url: str
    prompt_cache_breakpoint: PromptCacheBreakpoint


class InputMessage(TypedDict, total=False):
    """A message of the system or the user."""

    type: str
    role: str
    content: Sequence[InputPart] | str | None


class CallOutput(TypedDict, total=False):
    """A tool's result: function_call_output or custom_tool_call_output."""

    type: str
    call_id: str
    output: Sequence[InputPart] | str


class ConfigurationUpdate(TypedDict, total=False):
    """A change of the reasoning effort in mid-conversation."""

    type: str
    reasoning: Json


InputItem: TypeAlias = (
    InputMessage
    | OutputMessage
    | ReasoningItem
    | FunctionCall
    | CallOutput
    | ConfigurationUpdate
    | Json
)
"""An item of a conversation; items of server tools are sent back as they came."""

ResponseFunctionTool = TypedDict(
    "ResponseFunctionTool",
    {
        "type": Literal["function"],
        "name": str,
        "description": str,
        "parameters": Json | None,
        "strict": bool | None,
        "async": bool,
        "defer_loading": bool,
    },
    total=False,
)
"""A tool the caller runs, in `POST /responses`."""


class TextOptions(TypedDict, total=False):
    """The answer's format, and how long it is to be. https://openrouter.ai/openapi.json."""

    format: Json
    verbosity: str | None


class ResponsesRequest(TypedDict, total=False):
    """The body of POST /responses, in the order in which it is sent.

    https://openrouter.ai/docs/api-reference/responses/overview
    """

    model: str
    models: Sequence[str]
    input: str | Sequence[InputItem]
    instructions: str
    prompt: Json
    stream: bool
    store: Literal[False]
    """Always false: OpenRouter stores no responses."""
    temperature: float
    top_p: float
    top_k: int
    frequency_penalty: float
    presence_penalty: float
    max_output_tokens: int
    stop: str | Sequence[str]
    top_logprobs: int
    tools: Sequence[ResponseFunctionTool | ServerTool | Json]
    tool_choice: str | Json
    parallel_tool_calls: bool
    max_tool_calls: int
    stop_server_tools_when: Sequence[StopCondition]
    deferred_tools: DeferredTools
    text: TextOptions
    reasoning: Reasoning
    include: Sequence[str]
    truncation: Literal["auto", "disabled"] | str  # noqa: PYI051 - open vocabulary
    provider: ProviderPreferences
    route: Literal["fallback", "sort"] | str  # noqa: PYI051
    plugins: Sequence[Plugin]
    modalities: Sequence[Literal["text", "image"] | str]  # noqa: PYI051
    image_config: Json
    service_tier: ServiceTier
    cache_control: CacheControl
    prompt_cache_key: str
    prompt_cache_options: PromptCacheOptions
    session_id: str
    user: str
    safety_identifier: str
    metadata: Mapping[str, str]
    trace: Trace
    debug: Debug


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


class ServerToolUse(TypedDict, total=False):
    """How often OpenRouter's own tools were used; do not sum the two counts of calls."""

    web_search_requests: int
    tool_calls_requested: int
    tool_calls_executed: int


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
    server_tool_use_details: ServerToolUse
    server_tool_use: ServerToolUse


DeferredToolsCode = Literal[
    "deferred_tools_state_missing",
    "deferred_tools_state_invalid",
    "deferred_tools_history_changed",
    "deferred_tools_catalog_changed",
]
LimitSource = Literal[
    "openrouter_in_flight_budget",
    "openrouter_credits",
    "openrouter_key_limit",
    "upstream_provider_shared_pool",
]


class ErrorMetadata(TypedDict, total=False):
    """Details of an error; may quote the prompt (`flagged_input`, `raw`)."""

    error_type: str
    code: DeferredToolsCode | str
    limit_source: LimitSource | str
    reason: str
    remedy_hint: str
    retry_after_seconds: float
    provider_code: str | int
    provider_name: str
    raw: Any
    previous_errors: Sequence[Json]
    reasons: Sequence[str]
    flagged_input: str
    model_slug: str
    patterns: Sequence[Json]
    file_annotations: Sequence[Annotation]


class Availability(TypedDict, total=False):
    """Why no endpoint serves: "always switch on `retryable`"."""

    code: str
    retryable: bool
    retry_after: float | None
    requested_models: Sequence[str]
    affected_providers: Sequence[str] | None
    excluded_by: Sequence[str]
    fallback_models: Sequence[str]
    constraint: Json
    docs_url: str


class Error(TypedDict, total=False):
    """The `error` of a status, a 200 body, a choice or an event: `code` may be anything.

    https://openrouter.ai/docs/api-reference/errors
    """

    code: int | str
    http_status: int
    message: str
    error_type: str
    metadata: ErrorMetadata
    availability: Availability


class Logprob(TypedDict, total=False):
    """One token of `logprobs.content`."""

    token: str
    logprob: float
    bytes: Sequence[int] | None
    top_logprobs: Sequence[Json]


class Logprobs(TypedDict, total=False):
    """Log probabilities of the text and of a refusal."""

    content: Sequence[Logprob] | None
    refusal: Sequence[Logprob] | None


class Endpoint(TypedDict, total=False):
    """An endpoint the router saw or tried."""

    provider: str
    model: str
    selected: bool
    status: int


class Endpoints(TypedDict, total=False):
    """The endpoints the router saw."""

    total: int
    available: Sequence[Endpoint]


class RouterParams(TypedDict, total=False):
    """What a router was told."""

    quality_floor: float
    throughput_floor: float
    version_group: str


class PipelineStage(TypedDict, total=False):
    """One stage: guardrail, plugin, server_tools, response_healing, context_compression."""

    type: str
    name: str
    summary: str
    cost_usd: float
    guardrail_id: str
    guardrail_scope: str
    data: Json


class RouterMetadata(TypedDict, total=False):
    """How the request was routed; sent on request (header `X-OpenRouter-Metadata: enabled`).

    https://openrouter.ai/docs/features/router-metadata
    """

    requested: str
    strategy: str
    region: str | None
    summary: str
    attempt: int
    is_byok: bool
    endpoints: Endpoints
    params: RouterParams
    attempts: Sequence[Endpoint]
    pipeline: Sequence[PipelineStage]
    generation_time: float


class Choice(TypedDict, total=False):
    """One choice: `message` when whole, `delta` in a stream."""

    index: int
    finish_reason: str | None
    native_finish_reason: str | None
    logprobs: Logprobs | None
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
    openrouter_metadata: RouterMetadata | None
    debug: Json
    safeguard_results: Sequence[Json]
    alignment: Json
    user_id: str | None


class IncompleteDetails(TypedDict, total=False):
    """Why an answer is incomplete: max_output_tokens or content_filter."""

    reason: str


class ResponsesUsage(TypedDict, total=False):
    """Tokens and cost of an answer of `POST /responses`; the rest is as in `Usage`."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cost: float | None
    is_byok: bool


class ResponsesResult(TypedDict, total=False):
    """The body of an answer of `POST /responses`, without what repeats the request."""

    id: str
    object: str
    created_at: int
    completed_at: int | None
    model: str
    provider: str
    status: str
    output: Sequence[OutputMessage | ReasoningItem | FunctionCall | Json]
    error: Error | None
    error_type: str
    incomplete_details: IncompleteDetails | None
    service_tier: str | None
    usage: ResponsesUsage | None
    openrouter_metadata: RouterMetadata


REQUEST_FIELDS: tuple[str, ...] = tuple(ChatRequest.__annotations__)
"""Every field of a request, in the order in which it is sent."""
RESPONSES_FIELDS: tuple[str, ...] = tuple(ResponsesRequest.__annotations__)
"""Every field of a request to `POST /responses`, in the order in which it is sent."""
