"""What is typed at the prompt of the chat: a command, or a question. Pure functions."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["COMMANDS", "KEYS", "Command", "parse_line"]

COMMANDS = {
    "model": ("[SLUG]", "show the model, or go on with another"),
    "system": ("[TEXT | -]", "show the system prompt, set it, or take it away with -"),
    "attach": ("PATH | ADDRESS", "a file for the next question"),
    "cost": ("", "what the conversation has cost"),
    "save": ("FILE", "write the conversation to a new file, as Markdown"),
    "retry": ("", "ask the last question again"),
    "new": ("", "begin a new conversation"),
    "multi": ("", "a question of several lines, up to a line !end"),
    "help": ("", "this"),
    "exit": ("", "leave; so does Ctrl-D"),
}
KEYS = """Enter sends, Alt+Enter begins a new line, Tab completes, Ctrl-X Ctrl-E opens the editor.
Ctrl-C stops an answer, whose beginning stays in the conversation."""
_ALIASES = {"quit": "exit"}
_LINE = re.compile(r"([/!])([a-z]+)(?:\s+(.*))?", re.DOTALL)


class Command(NamedTuple):
    """A command and the rest of its line."""

    name: str
    argument: str


def parse_line(line: str) -> Command | str:
    """Return the command of a line, or the line, which is a question.

    `!multi`, `exit` and `quit` are commands too, as in `llm`.

    Raises:
        ValueError: There is no such command.
    """
    if line in {"exit", "quit"}:
        return Command("exit", "")
    match = _LINE.fullmatch(line)
    if match is None:
        return line

    sign, name, argument = match.groups()
    name = _ALIASES.get(name, name)
    if name in COMMANDS:
        return Command(name, (argument or "").strip())
    if sign == "!":
        return line
    msg = f"there is no command /{name}: /help lists them"
    raise ValueError(msg)
