"""Rows as requests of the Batch API: which Runnables are one request a row, and their bodies.

A batch runs one model, takes text alone, and has no routing but `provider.only` and
`provider.allow_fallbacks`. What it would refuse, or ignore, is refused here, by name, before
anything is sent. See https://openrouter.ai/docs/guides/features/batch-api.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar, cast

from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables import (
    Runnable,
    RunnableBinding,
    RunnableLambda,
    RunnableParallel,
    RunnableSequence,
)
from langchain_core.runnables.retry import RunnableRetry

from langchain_openrouter._json import get_dicts, get_list, get_str
from langchain_openrouter._resource import APIResource
from langchain_openrouter.batch._direct_calls import direct_call
from langchain_openrouter.chat_models import ChatOpenRouter
from langchain_openrouter.chat_models._auto_structured_output import (
    AutoStructuredOutput,
    UnforcedTool,
)
from langchain_openrouter.embeddings import OpenRouterEmbeddings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_openrouter.batch._plan import RowPlan
    from langchain_openrouter.chat_models._auto_structured_output import Method

R = TypeVar("R", bound=APIResource)
CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
BATCH_VARIANT = ":batch"
_PREFERENCES = ("only", "allow_fallbacks")
_FIELDS_OF_BATCH = ("model", "provider", "stream")
# Fields of a body that a batch does not take, with what they would do.
_REFUSED = {
    "deferred_tools": "deferred tools",
    "models": "fallback models: a batch runs one model",
    "audio": "audio output",
    "image_config": "image output",
    "web_search_options": "web search",
    "input_type": "`input_type` of embeddings",
}
_SEARCH_TOOLS = {"web_search", "web_search_preview", "web_search_preview_2025_03_11"}


class BatchRequest(NamedTuple):
    """One row as a request of a batch."""

    model: str
    """The slug, without `:batch`."""
    provider: Mapping[str, Any] | None
    """The batch's provider preferences."""
    body: dict[str, Any]
    """The request's own fields."""


@dataclass(frozen=True)
class RequestBuilder:
    """Makes the request of a row, and the plan that reads its response.

    Args:
        model: The chat model, or the embeddings.
        before: What a row's input goes through before the model: prompt templates.
        kwargs: Arguments of each call of the model.
        after: What its answers go through.
        method: Of a structured output whose method the model chose.
    """

    model: ChatOpenRouter | OpenRouterEmbeddings
    before: tuple[Runnable[Any, Any], ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[Runnable[Any, Any], ...] = ()
    method: str | None = None

    @property
    def endpoint(self) -> str:
        """The API whose bodies the requests have."""
        return EMBEDDINGS if isinstance(self.model, OpenRouterEmbeddings) else CHAT

    def build(self, value: Any) -> BatchRequest:
        """Return the request for the input of a row.

        Raises:
            ValueError: A batch does not take it; the message says what of it.
        """
        if isinstance(self.model, OpenRouterEmbeddings):
            payload = self.model._body([value])  # noqa: SLF001 - as it sends it
        else:
            for step in self.before:
                value = step.invoke(value)
            kwargs = {**self.kwargs, "stream": None}
            payload = self.model._get_request_payload(value, **kwargs)  # noqa: SLF001 - as it does
        validate_body(payload)

        slug = str(payload.get("model") or "").removesuffix(BATCH_VARIANT)
        body = {name: item for name, item in payload.items() if name not in _FIELDS_OF_BATCH}
        return BatchRequest(slug, payload.get("provider"), body)

    def resource(self, kind: type[R]) -> R:
        """Return a resource that sends with the model's key, address and connections."""
        model: Any = self.model
        is_chat = isinstance(model, ChatOpenRouter)
        base_url = model._base_url() if is_chat else model._build_request("").base_url  # noqa: SLF001 - as a request has it
        key = model._key_source()  # noqa: SLF001 - as a request has it

        return kind(
            # A model without a key has none here either, whatever the environment has.
            api_key=(lambda: None) if key is None else key,
            base_url=base_url,
            timeout=model.request_timeout if is_chat else model.timeout,
            max_retries=model.max_retries,
            default_headers=model.default_headers,
            app_url=model.app_url,
            app_title=model.app_title,
            app_categories=model.app_categories,
            http_client=model.http_client,
            http_async_client=model.http_async_client,
        )

    def answer_plan(self, plan: RowPlan) -> RowPlan:
        """Return the plan that makes results of responses, whatever a row's input is."""
        if isinstance(self.model, OpenRouterEmbeddings):
            return plan
        target: Runnable[Any, Any] = self.model.bind(**self.kwargs) if self.kwargs else self.model
        for step in self.after:
            target = target | step
        return replace(plan, _caller=[direct_call(target) or target.ainvoke])


def _refuse(problem: str) -> NoReturn:
    """Raise the error that names what a batch does not take.

    Raises:
        ValueError: Always.
    """
    msg = f"{problem}: use engine='local' for that"
    raise ValueError(msg)


# --- which Runnables --------------------------------------------------------------------------


def build_requests(plan: RowPlan, method: str | None = None) -> RequestBuilder:
    """Return what makes the requests of a plan.

    Args:
        plan: Of the batch.
        method: That of the structured output, where requests were sent already.

    Raises:
        ValueError: A row of it is more than one request, or none of the Batch API.
    """
    if plan.kind in {"rerank", "agent"}:
        what = "rerank" if plan.kind == "rerank" else "an agent, which calls its model repeatedly"
        _refuse(f"the Batch API does not run {what}")
    if plan.kind == "embeddings":
        return RequestBuilder(plan.model)

    runnable = plan.model
    if plan.schema is not None:
        runnable = runnable.with_structured_output(plan.schema, include_raw=True)
    builder = _split(runnable, method)
    for name in ("extra_headers", "extra_query"):
        if builder.kwargs.get(name):
            _refuse(f"the Batch API takes no `{name}` for a single request")
    return builder


def _split(runnable: Any, method: str | None) -> RequestBuilder:
    """Return the parts of a Runnable before, at and after its one call of a model.

    Raises:
        ValueError: It has no such form.
    """
    if isinstance(runnable, ChatOpenRouter):
        return RequestBuilder(runnable)
    if isinstance(runnable, AutoStructuredOutput):
        chosen = cast("Method", method or runnable.method)
        return replace(_split(runnable.chain(chosen), None), method=chosen)
    if isinstance(runnable, UnforcedTool):  # asks once: a batch cannot ask again
        return _split(runnable.bound, method)
    if isinstance(runnable, RunnableSequence):
        return _split_sequence(runnable.steps, method)
    if isinstance(runnable, RunnableParallel) and len(runnable.steps__) == 1:
        name, step = next(iter(runnable.steps__.items()))
        inner = _split(step, method)
        return replace(inner, after=(*inner.after, RunnableLambda(lambda value: {name: value})))
    if isinstance(runnable, RunnableBinding | RunnableRetry):
        inner = _split(runnable.bound, method)
        is_model = not (inner.before or inner.after)
        return replace(inner, kwargs={**inner.kwargs, **runnable.kwargs}) if is_model else inner

    _refuse(f"the Batch API takes a prompt, a ChatOpenRouter and a parser, not {_name(runnable)}")


def _split_sequence(steps: Sequence[Runnable[Any, Any]], method: str | None) -> RequestBuilder:
    calling = [index for index, step in enumerate(steps) if calls_model(step)]
    if len(calling) != 1:
        count = len(calling)
        _refuse(f"a row of this chain calls {count} models, and a request of the Batch API one")

    at = calling[0]
    inner = _split(steps[at], method)
    before, after = (*steps[:at], *inner.before), (*inner.after, *steps[at + 1 :])
    return replace(inner, before=before, after=after)


def calls_model(runnable: Any, *, depth: int = 8) -> bool:
    """Tell whether a Runnable calls a model, as far as can be seen."""
    if isinstance(runnable, BaseLanguageModel | AutoStructuredOutput | UnforcedTool):
        return True
    if hasattr(runnable, "nodes") and hasattr(runnable, "channels"):  # a graph of LangGraph
        return True
    if depth <= 0:
        return False

    inner: list[Any] = [getattr(runnable, name, None) for name in ("bound", "runnable", "mapper")]
    inner += getattr(runnable, "steps", None) or []
    inner += getattr(runnable, "fallbacks", None) or []
    inner += list((getattr(runnable, "steps__", None) or {}).values())
    return any(calls_model(step, depth=depth - 1) for step in inner if step is not None)


def _name(runnable: Any) -> str:
    return type(runnable).__name__


# --- what a body may hold ---------------------------------------------------------------------


def validate_body(payload: Mapping[str, Any]) -> None:
    """Refuse what the Batch API does not take, or would ignore.

    Args:
        payload: The body of a chat request, or of one for embeddings, as it would be sent alone.

    Raises:
        ValueError: There is such a thing; the message names it, and quotes no content.
    """
    for name, effect in _REFUSED.items():
        if payload.get(name):
            _refuse(f"the Batch API takes no `{name}` ({effect})")
    if payload.get("stream"):
        msg = "the Batch API does not stream: leave `stream` out"
        raise ValueError(msg)

    modalities = [str(item) for item in payload.get("modalities") or ()]
    problem = (
        _problem_of_provider(payload.get("provider"))
        or _problem_of_tools(payload)
        or (f"the output {', '.join(modalities)}" if set(modalities) - {"text"} else None)
        or _problem_of_content(payload)
    )
    if problem is not None:
        _refuse(f"the Batch API does not take {problem}")


def _problem_of_provider(provider: Any) -> str | None:
    extra = [name for name in provider or () if name not in _PREFERENCES]
    if not extra:
        return None
    names = ", ".join(f"`provider.{name}`" for name in extra)
    return f"{names} (of the preferences only `only` and `allow_fallbacks`)"


def _problem_of_tools(payload: Mapping[str, Any]) -> str | None:
    kinds = {str(tool.get("type")) for tool in get_dicts(payload, "tools")}
    if any(kind in _SEARCH_TOOLS or kind.startswith("openrouter:web_") for kind in kinds):
        return "web search"
    plugins = {get_str(plugin, "id") for plugin in get_dicts(payload, "plugins")}
    return "the plugin `web` (web search)" if "web" in plugins else None


def _problem_of_content(payload: Mapping[str, Any]) -> str | None:
    """Return which kind of content is not text."""
    inputs = get_list(payload, "input")
    if inputs is not None and any(isinstance(item, dict) for item in inputs):
        return "inputs that are not text"

    parts = [
        part for message in get_dicts(payload, "messages") for part in get_dicts(message, "content")
    ]
    kinds = sorted({str(part.get("type")) for part in parts} - {"text"})
    return f"content that is not text ({', '.join(kinds)})" if kinds else None
