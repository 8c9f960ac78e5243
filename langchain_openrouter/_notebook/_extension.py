"""Loads and unloads the extension in a shell of IPython.

Only the HTML of a display changes: its text stays, for terminals and for everything else that shows
no HTML. What other extensions have registered is restored when this one is unloaded.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from langchain_core.messages import BaseMessage

from langchain_openrouter import errors
from langchain_openrouter._catalog_types import Estimate, Generation, Model, ModelEndpoint, Provider
from langchain_openrouter._notebook import _tables
from langchain_openrouter._notebook._errors import error_lines
from langchain_openrouter._notebook._messages import conversation_html, message_html
from langchain_openrouter.batch import RowResult
from langchain_openrouter.embeddings import EmbeddingsResult
from langchain_openrouter.rerank import RerankResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

__all__ = ["load", "unload"]

_HTML = "text/html"
_ABSENT: Any = object()

_VALUES: dict[type, Callable[[Any], str]] = {
    BaseMessage: message_html,
    Model: _tables.model_html,
    ModelEndpoint: lambda value: _tables.endpoints_html([value]),
    Provider: lambda value: _tables.providers_html([value]),
    Generation: _tables.generation_html,
    Estimate: _tables.estimate_html,
    EmbeddingsResult: _tables.embeddings_html,
    RerankResult: _tables.rerank_html,
    RowResult: lambda value: _tables.rows_html([value]),
}
_LISTS: dict[type, Callable[[Sequence[Any]], str]] = {
    BaseMessage: conversation_html,
    ModelEndpoint: _tables.endpoints_html,
    Provider: _tables.providers_html,
    RowResult: _tables.rows_html,
}

_loaded: WeakKeyDictionary[Any, _Extension] = WeakKeyDictionary()


def load(shell: Any) -> None:
    """Show messages, tables and short errors in a shell; a second call does nothing."""
    if shell not in _loaded:
        _loaded[shell] = _Extension(shell)


def unload(shell: Any) -> None:
    """Restore what the shell showed before; does nothing where the extension is not loaded."""
    extension = _loaded.pop(shell, None)
    if extension is not None:
        extension.restore(shell)


class _Extension:
    """What was registered in a shell, and what was there before."""

    def __init__(self, shell: Any) -> None:
        formatter = shell.display_formatter.formatters[_HTML]
        printers = {
            **_VALUES,
            list: _of_list(formatter.type_printers.get(list)),
            dict: _of_dict(formatter.type_printers.get(dict)),
        }
        self._printers_before = {
            kind: formatter.type_printers.get(kind, _ABSENT) for kind in printers
        }
        for kind, printer in printers.items():
            formatter.for_type(kind, printer)
        self._printers = printers

        self._exceptions_before = shell.custom_exceptions
        self._handler_before = shell.CustomTB
        shell.set_custom_exc(
            (*self._exceptions_before, errors.OpenRouterError),
            _handler(self._exceptions_before, self._handler_before),
        )
        self._handler = shell.CustomTB

    def restore(self, shell: Any) -> None:
        """Restore what was there, except where somebody has registered something since."""
        type_printers = shell.display_formatter.formatters[_HTML].type_printers
        for kind, before in self._printers_before.items():
            if type_printers.get(kind) is not self._printers[kind]:
                continue
            if before is _ABSENT:
                del type_printers[kind]
            else:
                type_printers[kind] = before

        if shell.CustomTB == self._handler:
            shell.CustomTB = self._handler_before
            shell.custom_exceptions = self._exceptions_before


def _of_list(before: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """Return what shows a list of messages, endpoints or rows; other lists are shown as before."""

    def show(value: list[Any]) -> Any:
        render = _list_renderer(value)
        return _as_before(value, before) if render is None else render(value)

    return show


def _of_dict(before: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """Return what shows an agent's state, as its conversation; other dicts are shown as before."""

    def show(value: dict[Any, Any]) -> Any:
        messages = value.get("messages")
        if type(value) is dict and _list_renderer(messages) is conversation_html:
            return conversation_html(messages)  # type: ignore[arg-type]  # by the line above
        return _as_before(value, before)

    return show


def _list_renderer(value: Any) -> Callable[[Sequence[Any]], str] | None:
    if type(value) is not list or not value:
        return None
    for kind, render in _LISTS.items():
        if all(isinstance(item, kind) for item in value):
            return render
    return None


def _as_before(value: Any, before: Callable[[Any], Any] | None) -> Any:
    """Return what IPython would show: by the printer before, or by the value's own method."""
    if before is not None:
        return before(value)
    method = getattr(value, "_repr_html_", None)
    return method() if callable(method) else None


def _handler(exceptions_before: tuple[type[BaseException], ...], before: Any) -> Any:
    """Return the handler of exceptions; those that had another one go on having it."""
    shell_folder = str(Path(import_module("IPython").__file__ or "").parent)

    def show(
        shell: Any,
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType | None,
        tb_offset: int | None = None,
    ) -> Any:
        if issubclass(kind, exceptions_before) or not isinstance(error, errors.OpenRouterError):
            return before(kind, error, trace, tb_offset)

        shell._get_exc_info((kind, error, trace))  # noqa: SLF001 - remembers it, for %tb
        lines = error_lines(error, trace, shell_folder)
        shell._showtraceback(kind, error, lines)  # noqa: SLF001 - as IPython's own handlers do
        return lines

    return show
