"""The model's fields that say what a request asks for: routing, account, generation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import Field, ValidationInfo, field_validator

from langchain_openrouter._langgraph import MAX_SESSION_ID
from langchain_openrouter._vocabulary import validate_vocabulary
from langchain_openrouter.chat_models._request import WIRE_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_openrouter import wire

    # Without `dict`, so that a checker finds a misspelled name.
    Provider = wire.ProviderPreferences
    Reasoning = wire.Reasoning
    Plugins = Sequence[wire.Plugin]
    DeferredTools = wire.DeferredTools
    CacheControl = wire.CacheControl
    StopConditions = Sequence[wire.StopCondition]
    XSearch = wire.XSearch
    Tools = Sequence[wire.FunctionTool | wire.ServerTool | dict[str, Any]]
else:  # pydantic would drop the keys that a TypedDict does not name
    Provider = Reasoning = DeferredTools = CacheControl = XSearch = dict[str, Any]
    Plugins = StopConditions = Tools = list[dict[str, Any]]


class RequestFields(BaseChatOpenAI):
    """The fields that become fields or headers of a request; those of the parent are such too."""

    # --- routing and account --------------------------------------------------------------

    models: list[str] | None = None
    """Fallback models, in order. https://openrouter.ai/docs/features/model-routing"""
    preset: str | None = None
    openrouter_provider: Provider | None = None
    """Which endpoints may serve a request. A call's preferences are merged in, key by key."""
    route: str | None = None
    plugins: Plugins | None = None
    session_id: str | None = Field(default=None, max_length=MAX_SESSION_ID)
    """Groups requests and keeps them on one endpoint, for its prompt cache.

    `"thread"` stands for the `thread_id` of the LangGraph run; outside one nothing is sent.
    """
    prompt_caching: bool | Literal["5m", "1h"] | None = None
    """True caches the prompt wherever the model has to be told to; "1h" keeps it for an hour.

    For Anthropic's models the mark moves with the conversation; for Alibaba's the system message
    and the last message of the user are marked; others cache on their own. The hour is Anthropic's.
    False removes all marks, and GPT-5.6 and later, which charge for each write, write nothing.
    More than four marks are an error before the call.
    """
    response_cache: bool | int | None = None
    """Whether OpenRouter may answer an identical request from its cache, free of charge.

    A number is how many seconds an answer is kept. https://openrouter.ai/docs/features/response-caching
    """
    router_metadata: bool | None = None
    """True asks for `openrouter_metadata`: how the request was routed."""
    trace: dict[str, Any] | None = None
    user: str | None = None
    """The id of your user: abuse by one user then does not block the account."""
    request_metadata: dict[str, str] | None = None
    """The wire's `metadata`. LangChain's own `metadata` is for tracing and is not sent."""

    use_responses_api: bool | None = None
    """Speak `POST /responses` instead of `POST /chat/completions`; an argument of each call too.

    The messages, errors and metadata are the same. It is stateless: the whole conversation is sent.
    https://openrouter.ai/docs/api-reference/responses/overview
    """

    # --- generation -----------------------------------------------------------------------

    # The parent's `reasoning` belongs to the Responses API, and its `logit_bias` has int keys.
    reasoning: Reasoning | None = None  # type: ignore[assignment]
    """`{"effort": "high"}`, `{"max_tokens": 2000}`, ... https://openrouter.ai/docs/use-cases/reasoning-tokens"""
    include_reasoning: bool | None = None
    max_completion_tokens: int | None = None
    top_k: int | None = None
    top_a: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    logit_bias: dict[str | int, float] | None = None  # type: ignore[assignment]
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = None
    stop_server_tools_when: StopConditions | None = None
    deferred_tools: DeferredTools | None = None
    structured_outputs: bool | None = None
    web_search_options: dict[str, Any] | None = None
    x_search_filter: XSearch | None = None
    modalities: list[str] | None = None
    image_config: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    speed: str | None = None
    cache_control: CacheControl | None = None
    prompt_cache_key: str | None = None
    debug: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    stream_options: dict[str, Any] | None = None
    stop: list[str] | str | None = None
    tools: Tools | None = None
    """Sent with every call that has no tools of its own."""
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None

    @field_validator("reasoning", "reasoning_effort", "openrouter_provider")
    @classmethod
    def _check_vocabulary(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.field_name or ""
        return validate_vocabulary(WIRE_NAMES.get(name, name), value)
