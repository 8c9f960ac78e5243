"""The commands `conversations list`, `show`, `delete` and `path`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_openrouter._cli_chat._options import extract_code
from langchain_openrouter._cli_console import PRINTED, err, out, print_table
from langchain_openrouter._redaction import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_openrouter._cli_chat._conversation import Conversation, Conversations

__all__ = ["app"]

app = typer.Typer(help="The saved conversations.", no_args_is_help=True)
_NOTHING = 1


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1)] = 20,
    query: Annotated[
        str | None, typer.Option("-q", "--query", help="Those whose text has these words.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, complete.")] = False,
) -> None:
    """List conversations, the last first; exit code 1 if none matches."""
    matches: list[Conversation] = []
    for conversation in _conversations(_open()):
        if _has_words(conversation, query or ""):
            matches.append(conversation)
        if len(matches) == limit:
            break

    if as_json:
        print(json.dumps([_fields(match) for match in matches]))  # noqa: T201 - for a script
    elif matches:
        rows = [(match.id, match.model, f"${match.cost:.6f}", match.title) for match in matches]
        print_table(("id", "model", "cost", "begins with"), rows)
    else:
        err().print("No conversation matches." if query else "No conversation is saved.")
    if query and not matches:
        raise typer.Exit(_NOTHING)


@app.command()
def show(
    id_: Annotated[str | None, typer.Argument(metavar="ID", help="Else the last.")] = None,
    *,
    response: Annotated[bool, typer.Option("-r", "--response", help="The last answer.")] = False,
    extract: Annotated[
        bool, typer.Option("-x", "--extract", help="The first fenced block of the last answer.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, complete.")] = False,
) -> None:
    """Print a conversation as Markdown."""
    from langchain_openrouter._cli_chat._conversation import to_markdown  # noqa: PLC0415 - slow

    conversation = _open().load(id_)
    if as_json:
        print(json.dumps(_fields(conversation)))  # noqa: T201 - for a script
    elif response or extract:
        text = conversation.messages[-1].text if conversation.messages else ""
        text = extract_code(text) if extract else text
        print(printable(text.rstrip("\n"), keep=PRINTED))  # noqa: T201 - for a script
    else:
        out().print(to_markdown(conversation), end="")


@app.command()
def delete(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...")] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Delete conversations."""
    saved = _open()
    known = saved.ids()
    chosen = known if all_ else [id_ for id_ in ids or () if id_ in known]

    saved.delete(chosen)
    err().print(f"{len(chosen)} deleted.")
    if not chosen:
        raise typer.Exit(_NOTHING)


@app.command()
def path() -> None:
    """Print the folder they are in."""
    from langchain_openrouter._cli_chat._conversation import chat_folder  # noqa: PLC0415 - slow

    print(chat_folder())  # noqa: T201 - for a script


def _open() -> Conversations:
    from langchain_openrouter._cli_chat._conversation import Conversations  # noqa: PLC0415 - slow

    return Conversations()


def _conversations(saved: Conversations) -> Iterator[Conversation]:
    """Yield those that can be read, the last first."""
    for id_ in saved.ids():
        try:
            yield saved.load(id_)
        except ValueError as error:
            err().print(f"{id_}: {error}", style="dim")


def _has_words(conversation: Conversation, query: str) -> bool:
    text = " ".join(message.text for message in conversation.messages).lower()
    return all(word in text for word in query.lower().split())


def _fields(conversation: Conversation) -> Any:
    """Return a conversation as JSON, as it is saved."""
    return json.loads(conversation.to_json())
