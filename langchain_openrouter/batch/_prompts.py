"""From a row to what the model is called with: a template, messages, a callable, or the row."""

from __future__ import annotations

import inspect
import json
import math
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import BasePromptTemplate, ChatPromptTemplate

from langchain_openrouter.batch._fingerprints import hash_work

if TYPE_CHECKING:
    from collections.abc import Iterable

Kind: TypeAlias = Literal["chat", "embeddings", "rerank", "agent", "runnable"]
"""What is called for a row."""
_COLUMNS: dict[str, tuple[str, ...]] = {
    "chat": ("messages", "prompt"),
    "agent": ("messages", "prompt"),
    "embeddings": ("input", "text"),
}


class Prompt(Protocol):
    """Makes the input of a call from a row. Pickles, if what it was made of does."""

    def build(self, row: Any) -> Any:
        """Return the input.

        Raises:
            ValueError: The row lacks a column.
        """
        ...

    def describe(self) -> Any:
        """Return what identifies this prompt, as JSON: the same in each process."""
        ...


def build_prompt(prompt: Any, kind: Kind) -> Prompt:
    """Return the prompt of a batch.

    Args:
        prompt: A text with `{columns}`; a list of messages whose texts may have them; a prompt
            template of LangChain; a callable that returns the input for a row; None, for rows that
            are inputs themselves.
        kind: What is called.

    Raises:
        TypeError: It is something else.
        ValueError: The text is no template.
    """
    if prompt is None:
        return RowPrompt(kind)
    if isinstance(prompt, str):
        return TextPrompt(prompt, kind)
    if isinstance(prompt, BasePromptTemplate):
        return MessagesPrompt(prompt, kind)
    if isinstance(prompt, Sequence):
        return MessagesPrompt(ChatPromptTemplate.from_messages(list(prompt)), kind)
    if inspect.iscoroutinefunction(prompt):
        msg = "a callable prompt is not async: it is called for each row between two requests"
        raise TypeError(msg)
    if callable(prompt):
        return CallablePrompt(prompt)
    msg = f"a prompt is a text, messages, a template or a callable, not {type(prompt).__name__}"

    raise TypeError(msg)


def _to_input(value: Any, kind: Kind) -> Any:
    """Return a text or messages as the input of a call."""
    if kind == "agent":
        return {"messages": [HumanMessage(value)] if isinstance(value, str) else value}
    return value


def _column(row: Any, name: str) -> Any:
    """Return the value of a column.

    Raises:
        ValueError: The row has no such column.
    """
    if isinstance(row, Mapping):
        if name in row:
            return _filled(row[name], name)
        columns = ", ".join(f"`{column}`" for column in row) or "no columns"
    else:
        columns = f"no columns: it is a {type(row).__name__}"

    msg = f"the prompt needs `{name}`; the row has {columns}"
    if not name.isidentifier():  # such as the JSON of an example
        msg += " - write {{ and }} for braces that are text"
    raise ValueError(msg)


def _filled(value: Any, name: str) -> Any:
    """Return the value of a cell.

    Raises:
        ValueError: It is empty: None, or a gap of a data frame.
    """
    is_gap = value is None or type(value).__name__ in {"NAType", "NaTType"}
    if is_gap or (isinstance(value, float) and math.isnan(value)):
        msg = f"`{name}` is empty ({value}): leave such rows out, or pass a callable as `prompt`"
        raise ValueError(msg)
    return value


class _Columns(Mapping[str, Any]):
    """The columns of a row for a template, with an error that names those that there are."""

    def __init__(self, row: Any, names: Iterable[str]) -> None:
        self._row, self._names = row, tuple(names)

    def __getitem__(self, name: str) -> Any:
        return _column(self._row, name)

    def __iter__(self) -> Any:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True)
class TextPrompt:
    """A text with `{columns}`, each a column's name, with a format if need be: `{price:.2f}`."""

    text: str
    kind: Kind

    def __post_init__(self) -> None:
        """Refuse what is not a column: a template is data, and reaches no attribute."""
        try:
            names = [name for _, name, *_ in string.Formatter().parse(self.text)]
        except ValueError as error:
            msg = f"the prompt is no template: {error} - write {{{{ and }}}} for braces"
            raise ValueError(msg) from None

        for name in names:
            if name is not None and (not name or name.isdigit() or set(name) & set(".[]")):
                msg = f"the prompt has {{{name}}}: name a column - write {{{{ and }}}} for braces"
                raise ValueError(msg)

    def build(self, row: Any) -> Any:
        """Return the text with the row's values."""
        try:
            text = self.text.format_map(_Columns(row, ()))
        except TypeError as error:  # a format that the value does not have
            msg = f"a value does not fit its format in the prompt: {error}"
            raise ValueError(msg) from None

        return _to_input(text, self.kind)

    def describe(self) -> Any:
        """Return the text."""
        return self.text


@dataclass(frozen=True)
class MessagesPrompt:
    """Messages, or a prompt template of LangChain."""

    template: Any
    kind: Kind

    def build(self, row: Any) -> Any:
        """Return the messages with the row's values."""
        template = self.template
        names = [*template.input_variables]
        if isinstance(row, Mapping):
            optional = template.optional_variables
            names += [name for name in optional if row.get(name) is not None]
        messages = template.format_prompt(**{name: _column(row, name) for name in names})
        return _to_input(messages.to_messages(), self.kind)

    def describe(self) -> Any:
        """Return the template as LangChain serializes it; a hash, where it cannot in full."""
        from langchain_core.load import dumps  # noqa: PLC0415 - slow to import

        text = dumps(self.template)
        # A function, such as a partial variable, is an address there.
        is_whole = '"not_implemented"' not in text
        return json.loads(text) if is_whole else {"work": hash_work(self.template, lambda _: None)}


@dataclass(frozen=True)
class CallablePrompt:
    """A callable of the user's: what it returns is the input."""

    function: Callable[[Any], Any]

    def build(self, row: Any) -> Any:
        """Return what the callable returns."""
        return self.function(row)

    def describe(self) -> Any:
        """Return that it is a callable: each row's hash covers what it returned."""
        return {"callable": True}


@dataclass(frozen=True)
class RowPrompt:
    """Rows that are inputs themselves."""

    kind: Kind

    def build(self, row: Any) -> Any:
        """Return a row as the input of a call: itself, or a column that is known to hold it.

        Raises:
            ValueError: The row is a mapping without such a column.
        """
        columns = _COLUMNS.get(self.kind, ())
        if not isinstance(row, Mapping) or not columns:
            return row
        for name in columns:
            if row.get(name) is not None:
                value = _parse_messages(row[name]) if name == "messages" else row[name]
                return _to_input(_to_messages(value), self.kind)
        if self.kind == "embeddings" and "type" in row:  # a content part
            return row

        columns_text = ", ".join(f"`{name}`" for name in row) or "no columns"
        expected = " or ".join(f"`{name}`" for name in columns)
        msg = f"rows need {expected}, or pass `prompt=`: there are {columns_text}"
        raise ValueError(msg)

    def describe(self) -> Any:
        """Return None: the rows' hashes say it all."""
        return None


def _parse_messages(value: Any) -> Any:
    """Return the messages that a cell of a CSV file has as JSON; anything else unchanged."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value

    try:
        messages = json.loads(value)
    except (ValueError, RecursionError):
        return value
    is_list = all(isinstance(item, dict) and "role" in item for item in messages)
    return messages if messages and is_list else value


def _to_messages(value: Any) -> Any:
    """Return messages of a file, which are dicts, as LangChain's; a text unchanged."""
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    if is_list and all(isinstance(item, Mapping) and "role" in item for item in value):
        return convert_to_messages(value)
    return value


def to_messages(value: Any) -> list[BaseMessage]:
    """Return the input of a chat model as messages."""
    if isinstance(value, str):
        return [HumanMessage(value)]
    if isinstance(value, PromptValue):
        return value.to_messages()
    return convert_to_messages(value)
