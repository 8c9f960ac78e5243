"""A conversation: a value, and where it is saved: files of the user alone, without keys."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, messages_from_dict, messages_to_dict

from langchain_openrouter._cli_console import PRINTED
from langchain_openrouter._json import get_dicts, get_number, get_str, parse_json
from langchain_openrouter._redaction import mask_secrets, printable
from langchain_openrouter.key_store import FileStore

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Conversation", "Conversations", "chat_folder", "to_markdown"]

_FORMAT = "langchain-openrouter conversation 1"
_HEADINGS = {"human": "You", "ai": "Model"}


def _new_id() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


@dataclass(slots=True)
class Conversation:
    """Messages of a talk with a model, without its system prompt; cost in USD."""

    model: str
    system: str | None = None
    messages: list[BaseMessage] = field(default_factory=list)
    cost: float = 0.0
    id: str = field(default_factory=_new_id)

    @property
    def title(self) -> str:
        """The beginning of the first question."""
        return " ".join(self.messages[0].text.split())[:60] if self.messages else ""

    def to_json(self) -> bytes:
        """Return it as JSON, what looks like a key masked."""
        value = {
            "format": _FORMAT,
            "id": self.id,
            "model": self.model,
            "system": self.system,
            "cost": self.cost,
            "messages": messages_to_dict(self.messages),
        }

        plain = json.loads(json.dumps(value, default=str))
        return json.dumps(mask_secrets(plain), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Conversation:
        """Read one.

        Raises:
            ValueError: It is none.
        """
        try:
            value = parse_json(data)
        except ValueError:
            value = {}
        if get_str(value, "format") != _FORMAT:
            msg = "this is no saved conversation"
            raise ValueError(msg)

        return cls(
            model=get_str(value, "model") or "",
            system=get_str(value, "system"),
            messages=messages_from_dict(get_dicts(value, "messages") or []),
            cost=get_number(value, "cost") or 0.0,
            id=get_str(value, "id") or _new_id(),
        )


def chat_folder() -> Path:
    """Return the folder of conversations and history: where this system keeps users' data."""
    from platformdirs import user_data_path  # noqa: PLC0415 - slow to import

    return user_data_path("langchain-openrouter-chat", appauthor=False)


class Conversations:
    """The saved conversations: files of mode 0600 in a folder of mode 0700.

    Raises:
        KeyStoreError: The folder cannot be used, or others can read it.
    """

    def __init__(self) -> None:
        self._folder = chat_folder()
        self._store = FileStore(self._folder)
        self._read: dict[str, bytes] = {}  # what was read or written here, by id

    def save(self, conversation: Conversation) -> bool:
        """Write one; under a new id if another process has changed it since it was read here.

        Returns:
            Whether it has its id still.
        """
        known = self._read.get(conversation.id)
        data = conversation.to_json()
        is_saved = self._store.compare_and_set(f"{conversation.id}.json", known, data)

        if not is_saved:
            conversation.id = _new_id()
            data = conversation.to_json()
            self._store.compare_and_set(f"{conversation.id}.json", None, data)
        self._read[conversation.id] = data
        return is_saved

    def ids(self) -> list[str]:
        """Return all ids, the one that was last continued first."""
        names = [name for name in self._store.yield_keys() if name.endswith(".json")]
        by_time = sorted(
            names, key=lambda name: (self._folder / name).stat().st_mtime_ns, reverse=True
        )
        return [name.removesuffix(".json") for name in by_time]

    def load(self, id_: str | None = None) -> Conversation:
        """Read one; None: the last.

        Raises:
            ValueError: There is none.
        """
        ids = self.ids()
        if id_ is None and ids:
            id_ = ids[0]
        data = self._store.mget([f"{id_}.json"])[0] if id_ in ids else None

        if data is None:
            msg = f"there is no conversation {id_}" if id_ else "there is no saved conversation"
            raise ValueError(msg)
        conversation = Conversation.from_json(data)
        self._read[conversation.id] = data
        return conversation

    def delete(self, ids: list[str]) -> None:
        """Delete some."""
        self._store.mdelete([f"{id_}.json" for id_ in ids])


def to_markdown(conversation: Conversation) -> str:
    """Return a conversation as a document; attachments by their types."""
    parts = [f"# {conversation.title}", f"{conversation.model}, ${conversation.cost:.6f}"]
    if conversation.system:
        parts.append(f"**System:** {conversation.system}")

    for message in conversation.messages:
        parts.append(f"## {_HEADINGS.get(message.type, message.type)}")
        content: Any = message.content
        blocks = [] if isinstance(content, str) else content
        kinds = [block.get("type") for block in blocks if isinstance(block, dict)]
        parts += [f"*[{kind}]*" for kind in kinds if kind != "text"]
        parts.append(message.text)
    return printable("\n\n".join(parts) + "\n", keep=PRINTED)
