"""The commands `conversations list`, `show` and `delete`."""

from __future__ import annotations

from typing import Annotated

import typer

from langchain_openrouter._cli_console import err, out, print_table

__all__ = ["app"]

app = typer.Typer(help="The saved conversations.", no_args_is_help=True)
_NOTHING = 1


@app.command("list")
def list_(limit: Annotated[int, typer.Option("-n", "--limit", min=1)] = 20) -> None:
    """List conversations, the last first."""
    from langchain_openrouter._cli_chat._conversation import Conversations  # noqa: PLC0415 - slow

    saved = Conversations()
    rows = []
    for id_ in saved.ids()[:limit]:
        conversation = saved.load(id_)
        rows.append((id_, conversation.model, f"${conversation.cost:.6f}", conversation.title))
    if rows:
        print_table(("id", "model", "cost", "begins with"), rows)
    else:
        err().print("No conversation is saved.")


@app.command()
def show(
    id_: Annotated[str | None, typer.Argument(metavar="ID", help="Else the last.")] = None,
) -> None:
    """Print a conversation as Markdown."""
    from langchain_openrouter._cli_chat._conversation import (  # noqa: PLC0415 - slow
        Conversations,
        to_markdown,
    )

    out().print(to_markdown(Conversations().load(id_)), end="")


@app.command()
def delete(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...")] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Delete conversations."""
    from langchain_openrouter._cli_chat._conversation import Conversations  # noqa: PLC0415 - slow

    saved = Conversations()
    known = saved.ids()
    chosen = known if all_ else [id_ for id_ in ids or () if id_ in known]
    saved.delete(chosen)
    err().print(f"{len(chosen)} deleted.")
    if not chosen:
        raise typer.Exit(_NOTHING)
