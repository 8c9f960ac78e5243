"""The chat at the terminal: reads a line, does what it says, until the user leaves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.messages import HumanMessage
from rich.table import Table

from langchain_openrouter import errors
from langchain_openrouter._cli_chat._answer import Screen, receive, save
from langchain_openrouter._cli_chat._attachments import read_attachment
from langchain_openrouter._cli_chat._conversation import Conversation, to_markdown
from langchain_openrouter._cli_chat._line_editor import read_lines
from langchain_openrouter._cli_chat._slash import COMMANDS, KEYS, Command, parse_line
from langchain_openrouter._cli_console import err, out
from langchain_openrouter._redaction import printable
from langchain_openrouter.callbacks import get_openrouter_callback

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_openrouter._cli_chat._conversation import Conversations

__all__ = ["Talk"]


class Talk:
    """A conversation at the terminal.

    Args:
        conversation: What it goes on with.
        build_model: Returns the model of a slug.
        read: Reads a line.
        saved: Where it is saved after each answer; None: nowhere.
        stream: Whether answers come in pieces.
        screen: Keywords of `Screen`.
    """

    def __init__(  # noqa: PLR0913 - what the command's options say
        self,
        conversation: Conversation,
        *,
        build_model: Callable[[str], Any],
        read: Callable[[], str],
        saved: Conversations | None,
        stream: bool = True,
        screen: dict[str, bool],
    ) -> None:
        self.conversation = conversation
        self._build_model = build_model
        self._model = build_model(conversation.model)
        self._read = read

        self._saved = saved
        self._stream = stream
        self._screen = screen
        self._attachments: list[dict[str, Any]] = []
        self._failed: HumanMessage | None = None  # a question without an answer
        self._earlier_cost = conversation.cost

    def attach(self, block: dict[str, Any]) -> None:
        """Add a block to the next question."""
        self._attachments.append(block)

    def run(self) -> None:
        """Talk until /exit or Ctrl-D.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed twice at the prompt.
        """
        with get_openrouter_callback() as self._usage:
            was_interrupted = False
            while True:
                try:
                    line = self._read().strip()
                    was_interrupted = False
                    if line and not self._handle(line):
                        return
                except EOFError:
                    return
                except KeyboardInterrupt:
                    if was_interrupted:
                        raise
                    was_interrupted = True
                    err().print("Ctrl-C again, Ctrl-D or /exit leaves.", style="dim")
                except (errors.OpenRouterError, ValueError, OSError) as error:
                    err().print(printable(str(error)), style="red")

    def _handle(self, line: str) -> bool:
        """Do what a line says; return whether the conversation goes on."""
        parsed = parse_line(line)

        if isinstance(parsed, Command):
            if parsed.name == "exit":
                return False
            self._commands()[parsed.name](parsed.argument)
        else:
            self._ask(parsed)
        return True

    def _commands(self) -> dict[str, Callable[[str], None]]:
        return {
            "model": self._switch_model,
            "system": self._system,
            "attach": self._attach,
            "cost": self._cost,
            "save": self._save,
            "retry": self._retry,
            "new": self._new,
            "multi": self._multi,
            "help": self._help,
        }

    # --- questions ------------------------------------------------------------------------

    def _ask(self, text: str) -> None:
        content: Any = text
        if self._attachments:
            content = [{"type": "text", "text": text}, *self._attachments]
        question = HumanMessage(content)
        self._attachments = []
        self._send(question)

    def _send(self, question: HumanMessage) -> None:
        """Ask; a question that fails is not a part of the conversation, and can be retried."""
        conversation, screen = self.conversation, Screen(**self._screen)
        system = [("system", conversation.system)] if conversation.system else []
        self._failed = question
        messages = [*system, *conversation.messages, question]
        answer = receive(self._model, messages, screen, stream=self._stream)

        if answer.message is not None:
            self._failed = None
            conversation.messages += [question, answer.message]
        conversation.cost = self._earlier_cost + self._usage.cost
        if answer.is_stopped:
            err().print("stopped; /retry asks again", style="dim")
        elif answer.message is not None:
            screen.show_facts(answer.message, conversation.cost)
            err().print()
        save(self._saved, conversation)

    def _retry(self, _: str) -> None:
        messages = self.conversation.messages
        question = self._failed

        if question is None:
            if not messages:
                msg = "nothing was asked"
                raise ValueError(msg)
            question = messages[-2]  # type: ignore[assignment] # questions and answers alternate
            del messages[-2:]
        self._send(question)  # type: ignore[arg-type]

    def _multi(self, _: str) -> None:
        err().print("End with a line !end", style="dim")
        if text := read_lines(self._read).strip():
            self._ask(text)

    # --- the other commands ---------------------------------------------------------------

    def _switch_model(self, slug: str) -> None:
        if slug:
            self._model = self._build_model(slug)
            self.conversation.model = slug
        err().print(self.conversation.model, style="dim")

    def _system(self, text: str) -> None:
        if text:
            self.conversation.system = None if text == "-" else text
        err().print(self.conversation.system or "no system prompt", style="dim")

    def _attach(self, source: str) -> None:
        if not source:
            msg = "/attach PATH, or an address"
            raise ValueError(msg)
        self.attach(read_attachment(source))
        err().print(f"{len(self._attachments)} for the next question", style="dim")

    def _cost(self, _: str) -> None:
        self._usage.settle()  # what stopped answers have cost
        self.conversation.cost = self._earlier_cost + self._usage.cost
        total = self._usage.total

        tokens = f"{total.input_tokens:,} tokens in, {total.output_tokens:,} out"
        line = f"${self.conversation.cost:.6f}; here {tokens}"
        unknown = len(self._usage.unsettled)
        suffix = f"; of {unknown} stopped or failed answers it is not known" if unknown else ""
        err().print(line + suffix, style="dim")

    def _save(self, name: str) -> None:
        if not name:
            msg = "/save FILE"
            raise ValueError(msg)
        path = Path(name).expanduser()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL

        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(to_markdown(self.conversation))
        err().print(f"written to {path}", style="dim")

    def _new(self, _: str) -> None:
        old = self.conversation
        self.conversation = Conversation(old.model, old.system)
        self._earlier_cost = -self._usage.cost
        self._failed = None
        err().print("a new conversation", style="dim")

    def _help(self, _: str) -> None:
        console, table = out(), Table.grid(padding=(0, 2))
        for name, (usage, help_) in COMMANDS.items():
            table.add_row(f"/{name} {usage}", help_)
        console.print(table, soft_wrap=False)
        console.print(KEYS, soft_wrap=False)
