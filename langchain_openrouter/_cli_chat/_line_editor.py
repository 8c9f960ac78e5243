"""Reads lines at the terminal: with editing, history and completion where the terminal has them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings

from langchain_openrouter._cli_chat._slash import COMMANDS
from langchain_openrouter._redaction import contains_api_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["make_reader"]

PROMPT = "> "
_END = "!end"


def make_reader(history: Path | None, slugs: Callable[[str], list[str]]) -> Callable[[], str]:
    """Return what reads a question.

    Args:
        history: The file of the lines that were typed; None: they are forgotten.
        slugs: Returns the models whose slug begins so.

    Returns:
        A function that raises EOFError at Ctrl-D and KeyboardInterrupt at Ctrl-C.
    """
    is_plain = os.environ.get("TERM") == "dumb" or not (sys.stdin.isatty() and sys.stdout.isatty())
    if is_plain:
        return lambda: input(PROMPT)

    session: PromptSession[str] = PromptSession(
        history=InMemoryHistory() if history is None else _PrivateHistory(str(history)),
        completer=_ChatCompleter(slugs),
        complete_while_typing=False,
        key_bindings=_key_bindings(),
        multiline=True,
        prompt_continuation="  ",
        enable_open_in_editor=True,
        enable_suspend=True,
    )
    return lambda: session.prompt(PROMPT)


def read_lines(read: Callable[[], str]) -> str:
    """Read lines up to `!end`, or Ctrl-D."""
    lines: list[str] = []
    try:
        while (line := read()).strip() != _END:
            lines.append(line)
    except EOFError:
        pass
    return "\n".join(lines)


def _key_bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    @bindings.add("c-j")  # Enter, pressed while an answer came
    def _send(event: Any) -> None:
        event.current_buffer.validate_and_handle()

    @bindings.add("c-@")  # Ctrl-D, pressed while an answer came
    def _leave(event: Any) -> None:
        if not event.current_buffer.text:
            event.app.exit(exception=EOFError)

    @bindings.add("escape", "enter")
    def _new_line(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    return bindings


class _PrivateHistory(FileHistory):
    """A history that only its owner can read, without lines that have a key in them."""

    def store_string(self, string: str) -> None:
        if contains_api_key(string):
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        os.close(os.open(self.filename, flags, 0o600))
        super().store_string(string)


class _ChatCompleter(Completer):
    """Completes commands, slugs after /model, and paths after /attach and /save."""

    def __init__(self, slugs: Callable[[str], list[str]]) -> None:
        self._slugs = slugs
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: Any) -> Iterable[Completion]:
        """Yield what may be typed next."""
        text = document.text_before_cursor
        name, separator, argument = text.partition(" ")
        if not name.startswith("/"):
            return

        if not separator:
            for command, (_, help_) in COMMANDS.items():
                if command.startswith(name[1:]):
                    yield Completion(f"/{command}", -len(name), display_meta=help_)
        elif name == "/model":
            yield from (Completion(slug, -len(argument)) for slug in self._slugs(argument))
        elif name in {"/attach", "/save"}:
            part = Document(argument, len(argument))
            yield from self._paths.get_completions(part, complete_event)
