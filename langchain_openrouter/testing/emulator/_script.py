"""What a test gives an emulator, a script, and what it reads from it, the received requests."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_openrouter._json import get_dicts, get_list
from langchain_openrouter.testing.emulator._default_replies import default_reply
from langchain_openrouter.testing.emulator._replies import Reply
from langchain_openrouter.testing.emulator._responses_requests import to_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["ReceivedRequest", "Script", "Scripted", "ScriptedReplies"]


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request that the emulator received."""

    method: str
    path: str
    """Under the API's base, such as `/chat/completions`."""
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    raw: bytes = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    gone: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when the client disconnected before the response had ended."""

    @property
    def body(self) -> Any:
        """The JSON of the body; None where it is not JSON."""
        try:
            return json.loads(self.raw)
        except ValueError:
            return None

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of a chat request; at `/responses`, those that its items stand for."""
        body = self.body
        return to_messages(body) if get_list(body, "input") else get_dicts(body, "messages")

    @property
    def key(self) -> str:
        """The Bearer token."""
        return self.headers.get("authorization", "").removeprefix("Bearer ").strip()


Scripted: TypeAlias = "Reply | str | None"
Script: TypeAlias = "Iterable[Scripted] | Callable[[ReceivedRequest], Scripted]"


class ScriptedReplies:
    """The replies to chat requests; safe to use from any thread.

    Args:
        script: As in `Emulator`.
    """

    def __init__(self, script: Script | None) -> None:
        self.function = script if callable(script) else None
        self._replies = None if script is None or callable(script) else list(script)
        self._lock = threading.Lock()

    def next_reply(self, request: ReceivedRequest, chat_request: Mapping[str, Any]) -> Reply:
        """Return the reply to a chat request: the scripted one, or the default.

        Args:
            request: As it was received.
            chat_request: Its body, in the form of `POST /chat/completions`.
        """
        scripted: Scripted = None
        if self.function is not None:
            scripted = self.function(request)
        elif self._replies is not None:
            with self._lock:
                if not self._replies:
                    message = "the emulator's script has no reply left"
                    return Reply(error={"code": 500, "message": message})
                scripted = self._replies.pop(0)

        if scripted is None:
            return default_reply(chat_request)
        return Reply(scripted) if isinstance(scripted, str) else scripted
