"""What a model, a chain, an agent or a graph does, as pairs of an event's name and data."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from pydantic_core import PydanticSerializationError, to_jsonable_python

from langchain_openrouter import errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping

    from langchain_core.runnables import Runnable

EventName: TypeAlias = Literal[
    "text",
    "reasoning",
    "step",
    "tool_call",
    "tool_result",
    "interrupt",
    "result",
    "custom",
    "done",
    "error",
]
RunEvent: TypeAlias = tuple[EventName, Any]

_METADATA = ("provider", "model_name", "finish_reason")
_COUNTS = ("input_tokens", "output_tokens")
# LangGraph's tags of models and nodes that are not to be shown.
_HIDDEN = {"nostream", "langsmith:nostream", "langsmith:hidden"}
# Nodes in which middleware of LangChain's agents calls models, such as for a summary.
_HOOKS = (".before_agent", ".before_model", ".after_model", ".after_agent")


class RunEvents:
    """Reads one run, and adds up what its models cost."""

    def __init__(self) -> None:
        self._cost: float | None = None
        self._counts: dict[str, int] = {}
        self._metadata: dict[str, Any] = {}
        self._streaming: set[str] = set()  # ids of the models' runs that told pieces
        self._tools: set[str] = set()  # ids of the tools' runs that have not ended
        self._has_text = False
        self._is_graph = False

    def read(
        self, runnable: Runnable[Any, Any], inputs: Any, kwargs: Mapping[str, Any]
    ) -> AsyncGenerator[RunEvent, None]:
        """Run it, and yield what it does; `kwargs` are those of `astream`."""
        if isinstance(runnable, BaseChatModel):
            return self._read_model(runnable, inputs, kwargs)
        return self._read_events(runnable, inputs, kwargs)

    def done(self) -> dict[str, Any]:
        """Return the data of the event `done`."""
        return {"cost": self._cost, **self._metadata, **self._counts}

    def error(self, error: Exception) -> dict[str, Any]:
        """Return the data of the event `error`; only errors of this package are quoted."""
        name, data = type(error).__name__, dict[str, Any](cost=self._cost)
        if not isinstance(error, errors.OpenRouterError):
            return {"type": name, "message": f"the run failed ({name})", **data}

        partial = error.partial.text if error.partial is not None else ""
        data |= {"is_retryable": error.is_retryable, "partial": str(partial)}
        if isinstance(error, errors.InsufficientCreditsError):
            data["settings_url"] = error.settings_url
        return {"type": name, "message": str(error), **data}

    async def _read_model(
        self, model: BaseChatModel, inputs: Any, kwargs: Mapping[str, Any]
    ) -> AsyncGenerator[RunEvent, None]:
        calls: list[Any] = []  # chunks from the first with a tool call on

        async with aclosing(model.astream(inputs, **kwargs)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                # Nearly every chunk is plain text, and there are many: no more than is needed.
                if reasoning := chunk.additional_kwargs.get("reasoning_content"):
                    yield "reasoning", reasoning
                if text := chunk.text:
                    yield "text", text
                if chunk.usage_metadata or len(chunk.response_metadata) > 1:
                    self._add(chunk)
                if calls or getattr(chunk, "tool_call_chunks", None):
                    calls.append(chunk)
        if calls:
            for event in _tool_calls(calls[0] + calls[1:]):
                yield event

    async def _read_events(
        self, runnable: Runnable[Any, Any], inputs: Any, kwargs: Mapping[str, Any]
    ) -> AsyncGenerator[RunEvent, None]:
        stream: Any = runnable.astream_events(inputs, version="v2", **kwargs)
        async with aclosing(stream) as events:
            async for event in events:
                for translated in self._translate(event):
                    yield translated

    def _translate(self, event: Mapping[str, Any]) -> Iterator[RunEvent]:
        """Yield what an event of LangChain's stream says."""
        kind, data, parents = event["event"], event["data"], event["parent_ids"]
        # A tool may run models and agents of its own: its result tells of them.
        inside_tool = not self._tools.isdisjoint(parents)

        if kind.startswith("on_chat_model_"):
            yield from self._translate_model(event, is_hidden=inside_tool or _is_hidden(event))
        elif kind.startswith("on_tool_"):
            yield from self._translate_tool(event, is_hidden=inside_tool)
        elif kind == "on_custom_event":
            yield "custom", {"name": event["name"], "data": to_plain(data)}
        elif kind == "on_chain_start" and not inside_tool:
            yield from self._translate_start(event)

        if kind == "on_chain_stream" and not parents:
            yield from _interrupts(data.get("chunk"))
        elif kind.endswith("_end") and not parents:
            yield from self._translate_output(data.get("output"))

    def _translate_model(self, event: Mapping[str, Any], *, is_hidden: bool) -> Iterator[RunEvent]:
        kind, data, run_id = event["event"], event["data"], event["run_id"]
        if kind == "on_chat_model_stream" and not is_hidden:
            for piece in _pieces(data["chunk"]):
                self._streaming.add(run_id)
                self._has_text = self._has_text or piece[0] == "text"
                yield piece
        if kind != "on_chat_model_end" or not isinstance(message := data.get("output"), AIMessage):
            return

        self._add(message)
        if is_hidden:
            return
        if run_id not in self._streaming:  # an answer of a cache, or of a model that cannot stream
            self._has_text = self._has_text or bool(message.text)
            yield from _pieces(message)
        self._streaming.discard(run_id)
        yield from _tool_calls(message)

    def _translate_tool(self, event: Mapping[str, Any], *, is_hidden: bool) -> Iterator[RunEvent]:
        kind, data = event["event"], event["data"]
        if kind == "on_tool_start":
            self._tools.add(event["run_id"])
            return

        self._tools.discard(event["run_id"])
        if is_hidden:
            return
        if kind == "on_tool_end":
            yield from _tool_results(event["name"], data.get("output"))
        elif not _is_interrupt(error := data.get("error")):
            result = {"id": data.get("tool_call_id"), "name": event["name"], "status": "error"}
            yield "tool_result", {**result, "content": type(error).__name__}

    def _translate_start(self, event: Mapping[str, Any]) -> Iterator[RunEvent]:
        """Yield a node of a graph, or a part of the chain itself."""
        name, metadata, tags = event["name"], event["metadata"], event["tags"]
        if _HIDDEN & set(tags) or name.startswith("_"):
            return

        if metadata.get("langgraph_node") == name and _has_tag(tags, "graph:step:"):
            self._is_graph = True
            namespace = metadata.get("langgraph_checkpoint_ns") or name
            path = [part.partition(":")[0] for part in namespace.split("|")]
            yield "step", {"name": name, "path": path}
        elif len(event["parent_ids"]) == 1 and _has_tag(tags, "seq:step:", "map:key:"):
            yield "step", {"name": name, "path": [name]}

    def _translate_output(self, output: Any) -> Iterator[RunEvent]:
        """Yield what the run returned, if it is not the text that its model told."""
        if self._is_graph:
            output = output.get("structured_response") if isinstance(output, dict) else None
        if isinstance(output, str) and not self._has_text:
            yield "text", output
        elif output is not None and not isinstance(output, str | BaseMessage):
            yield "result", to_plain(output)

    def _add(self, message: AIMessage) -> None:
        metadata = message.response_metadata
        self._metadata |= {name: metadata[name] for name in _METADATA if metadata.get(name)}
        if isinstance(cost := metadata.get("cost"), int | float):
            self._cost = (self._cost or 0) + cost

        if usage := message.usage_metadata:
            for name, count in cast("Mapping[str, Any]", usage).items():
                if name in _COUNTS:
                    self._counts[name] = self._counts.get(name, 0) + count


def to_plain(value: Any) -> Any:
    """Return a value as JSON has it; what JSON cannot hold becomes its class's name."""
    try:
        return to_jsonable_python(
            value, serialize_unknown=True, bytes_mode="base64", inf_nan_mode="null"
        )
    except (ValueError, PydanticSerializationError):  # a circle, for one
        return f"<{type(value).__name__}>"


def _pieces(message: AIMessage) -> Iterator[RunEvent]:
    if reasoning := message.additional_kwargs.get("reasoning_content"):
        yield "reasoning", reasoning
    if text := message.text:
        yield "text", str(text)


def _tool_calls(message: AIMessage) -> Iterator[RunEvent]:
    for call in message.tool_calls:
        yield "tool_call", {"id": call["id"], "name": call["name"], "args": to_plain(call["args"])}
    for invalid in message.invalid_tool_calls:
        names = ("id", "name", "args", "error")
        yield "tool_call", {name: invalid.get(name) for name in names}


def _tool_results(name: str, output: Any) -> Iterator[RunEvent]:
    """Yield the results in what a tool returned: a message, a `Command` with some, or a value."""
    messages = [output]
    if isinstance(update := getattr(output, "update", None), dict):  # LangGraph's `Command`
        messages = [*update.get("messages", ())]

    for message in messages:
        result: dict[str, Any] = {"id": None, "name": name, "status": "success"}
        content = message
        if isinstance(message, ToolMessage):
            result |= {"id": message.tool_call_id, "status": message.status}
            content = message.content
        elif isinstance(message, BaseMessage):
            continue
        yield "tool_result", {**result, "content": to_plain(content)}


def _interrupts(chunk: Any) -> Iterator[RunEvent]:
    """Yield where a graph waits for a person; see LangGraph's `interrupt`."""
    for interrupt in chunk.get("__interrupt__", ()) if isinstance(chunk, dict) else ():
        yield "interrupt", {"id": interrupt.id, "value": to_plain(interrupt.value)}


def _is_interrupt(error: Any) -> bool:
    return any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__)


def _is_hidden(event: Mapping[str, Any]) -> bool:
    node = event["metadata"].get("langgraph_node") or ""
    return bool(_HIDDEN & set(event["tags"])) or str(node).endswith(_HOOKS)


def _has_tag(tags: list[str], *prefixes: str) -> bool:
    return any(tag.startswith(prefixes) for tag in tags)
