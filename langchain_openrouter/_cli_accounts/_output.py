"""What the commands share: options, how a key is named, and what is printed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_openrouter._cli_console import out, print_facts, print_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_openrouter.accounts import Accounts, KeyRecord

__all__ = [
    "Hash",
    "Hashes",
    "Id",
    "Json",
    "Limit",
    "Models",
    "Providers",
    "Reset",
    "User",
    "Workspace",
    "all_keys",
    "find_key",
    "given_options",
    "open_accounts",
    "parse_reset",
    "show_row",
    "show_rows",
]

_PREFIX = re.compile(r"[0-9a-f]{6,63}")
Json = Annotated[bool, typer.Option("--json", help="JSON, all fields as sent.")]
Hash = Annotated[str, typer.Argument(help="The key's hash, or six characters of it or more.")]
Hashes = Annotated[list[str], typer.Argument(help="Hashes of keys, or how they begin.")]
Id = Annotated[str, typer.Argument(help="The guardrail's id.")]
User = Annotated[str, typer.Argument(help="The app's own id of the user.")]
Workspace = Annotated[str | None, typer.Option(help="The workspace's id; else the default.")]
Limit = Annotated[float | None, typer.Option(help="What may be spent, USD.")]
Reset = Annotated[str | None, typer.Option(help="daily, weekly, monthly or never.")]
Models = Annotated[list[str] | None, typer.Option(help="A slug; may be repeated.")]
Providers = Annotated[list[str] | None, typer.Option(help="A provider; may be repeated.")]


def open_accounts() -> Accounts:
    """Return the client, with the management key of the environment."""
    from langchain_openrouter.accounts import Accounts  # noqa: PLC0415 - slow to import

    return Accounts()


def all_keys(accounts: Accounts, workspace: str | None = None) -> Iterable[KeyRecord]:
    """Return the keys of a workspace, disabled and expired ones too."""
    return accounts.keys.list(include_disabled=True, include_expired=True, workspace_id=workspace)


def find_key(accounts: Accounts, text: str, workspace: str | None = None) -> str:
    """Return the hash that begins so.

    Raises:
        typer.BadParameter: None does, or several.
    """
    if _PREFIX.fullmatch(text) is None:
        return text  # a whole hash, or what the client refuses

    matches = [key.hash for key in all_keys(accounts, workspace) if key.hash.startswith(text)]
    if len(matches) != 1:
        msg = f"{len(matches)} keys begin with {text}"
        raise typer.BadParameter(msg)
    return matches[0]


def show_rows(rows: Iterable[Any], *, as_json: bool) -> None:
    """Print values as a table, or as sent."""
    values = list(rows)
    if as_json:
        print(json.dumps([dict(row.data) for row in values]))  # noqa: T201 - for a script
        return
    if not values:
        out().print("none")
        return

    from langchain_openrouter.accounts._rows import format_cell  # noqa: PLC0415 - slow to import

    cells = [row.cells() for row in values]
    print_table(tuple(cells[0]), [[format_cell(cell) for cell in row.values()] for row in cells])


def show_row(row: Any, *, as_json: bool, **more: str) -> None:
    """Print one value line by line, or as sent.

    Args:
        row: The value.
        as_json: Whether as sent.
        **more: Further lines.
    """
    if as_json:
        print(json.dumps({**row.data, **more}))  # noqa: T201 - for a script
        return

    from langchain_openrouter.accounts._rows import format_cell  # noqa: PLC0415 - slow to import

    cells = {**row.cells(), **({"hash": row.hash} if hasattr(row, "hash") else {}), **more}
    lines = [(heading, format_cell(value)) for heading, value in cells.items()]
    print_facts((heading, text) for heading, text in lines if text)


def parse_reset(value: str | None) -> str | None:
    """Return when a limit resets; None is never.

    Raises:
        typer.BadParameter: It is none of the four words.
    """
    if value not in {None, "daily", "weekly", "monthly", "never"}:
        msg = "daily, weekly, monthly or never"
        raise typer.BadParameter(msg)
    return None if value == "never" else value


def given_options(**options: Any) -> dict[str, Any]:
    """Return the options that were passed."""
    return {name: value for name, value in options.items() if value is not None}
