"""What a test scripts: replies, tool calls and faults; values alone, see `_rendering` for bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PIXEL", "Call", "Fault", "FaultKind", "Form", "Reply"]

Form: TypeAlias = Literal["status", "body", "choice", "event"]
FaultKind: TypeAlias = Literal[
    "cut", "reset", "stall", "drip", "duplicate", "malformed", "empty", "html"
]

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""The image that the emulator draws: a PNG of one pixel, as a data URL."""

_NATIVE = {"stop": "stop", "tool_calls": "tool_calls", "length": "max_output_tokens"}


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call.

    Args:
        name: The tool's name.
        arguments: An object, or the text as the model wrote it, valid JSON or not.
        id: None derives an id from the response's.
    """

    name: str
    arguments: Any = field(default_factory=dict)
    id: str | None = None

    @property
    def text(self) -> str:
        """The arguments as they go over the wire."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with the bytes of a response.

    Args:
        kind: "cut" and "reset" end the connection; "stall" stops sending for `seconds`; "drip"
            sends byte by byte, `seconds` apart; "duplicate" sends every event twice; "malformed"
            inserts an event that is not JSON; "empty" sends no body; "html" sends a page instead.
        after: How many events come before it; of a response that is not streamed, how many halves
            of its body.
        seconds: For "stall" and "drip".
    """

    kind: FaultKind
    after: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A scripted response, streamed or not as the request says. A string is `Reply(text=...)`.

    `error` makes it an error response, in one of four forms: an HTTP status; a 200 whose body is
    the error; a choice that ends in the error after `text`; an event in mid-stream after `text`.
    """

    text: str | None = None
    reasoning: str | None = None
    reasoning_details: Sequence[Mapping[str, Any]] | None = None
    """None derives them from `reasoning`, in the manner of the model's vendor."""
    tool_calls: Sequence[Call] = ()
    images: Sequence[str] = ()
    """URLs, data URLs mostly."""
    audio: Mapping[str, Any] | None = None
    annotations: Sequence[Mapping[str, Any]] = ()
    refusal: str | None = None
    items: Sequence[Mapping[str, Any]] = ()
    """Further items of an answer of `POST /responses`, before its message: of server tools."""
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    model: str | None = None
    provider: str | None = None
    """Display name; None is that of the model's vendor."""
    usage: Mapping[str, Any] = field(default_factory=dict)
    """Merged into the usage that is counted."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the body, or of the last chunk."""
    error: Mapping[str, Any] | None = None
    form: Form = "status"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    pause: float = 0.0
    """Seconds between events."""

    @property
    def reason(self) -> str:
        """The finish reason that OpenRouter sends."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")

    @property
    def native(self) -> str:
        """The provider's own finish reason."""
        return self.native_finish_reason or _NATIVE.get(self.reason, self.reason)
