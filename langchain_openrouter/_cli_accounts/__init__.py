"""The commands `accounts keys`, `users`, `guardrails`, `activity`, `credits`, and `sweep`.

They need OPENROUTER_MANAGEMENT_KEY. A new key is printed only with `--show-key`; else it goes to a
key store, or to a file that only its owner can read.
"""

from __future__ import annotations

from typing import Annotated

import typer

from langchain_openrouter._cli_accounts import _guardrails, _keys, _provisioned, _users
from langchain_openrouter._cli_accounts._output import (
    Json,
    find_key,
    open_accounts,
    show_row,
    show_rows,
)

__all__ = ["app"]

app = typer.Typer(
    help="The account's keys, users and guardrails: needs OPENROUTER_MANAGEMENT_KEY.",
    no_args_is_help=True,
)
app.add_typer(_keys.app, name="keys")
app.add_typer(_users.app, name="users")
app.add_typer(_guardrails.app, name="guardrails")
_provisioned.add_commands(app)


@app.command()
def activity(
    date: Annotated[str | None, typer.Option(help="Only this UTC day, YYYY-MM-DD.")] = None,
    key: Annotated[str | None, typer.Option(help="Only this key, by hash.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Only this workspace, by id.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show what was used on the last 30 complete UTC days, by model and provider."""
    accounts = open_accounts()
    key_hash = None if key is None else find_key(accounts, key, workspace)
    rows = accounts.activity(date=date, key=key_hash, workspace_id=workspace)
    show_rows(rows, as_json=as_json)


@app.command()
def credits(*, as_json: Json = False) -> None:  # noqa: A001 - the service's word
    """Show what the account has bought, used and left."""
    show_row(open_accounts().credits(), as_json=as_json)
