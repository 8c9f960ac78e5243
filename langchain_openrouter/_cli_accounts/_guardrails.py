"""The commands `accounts guardrails`."""

from __future__ import annotations

from typing import Annotated

import typer

from langchain_openrouter._cli_accounts._output import (
    Hashes,
    Id,
    Json,
    Limit,
    Models,
    Providers,
    Reset,
    Workspace,
    find_key,
    given_options,
    open_accounts,
    parse_reset,
    show_row,
    show_rows,
)
from langchain_openrouter._cli_console import out

__all__ = ["app"]

app = typer.Typer(
    help="Restrictions, and the keys that they are assigned to.", no_args_is_help=True
)


@app.command("list")
def list_guardrails(workspace: Workspace = None, *, as_json: Json = False) -> None:
    """List guardrails."""
    show_rows(open_accounts().guardrails.list(workspace_id=workspace), as_json=as_json)


@app.command("create")
def create_guardrail(  # noqa: PLR0913 - what it may restrict
    name: Annotated[str, typer.Argument(help="Its name in the account.")],
    *,
    limit: Limit = None,
    limit_reset: Reset = None,
    model: Models = None,
    ignore_model: Models = None,
    provider: Providers = None,
    ignore_provider: Providers = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Create a guardrail; it restricts nothing until it is assigned."""
    fields = given_options(
        limit_usd=limit,
        reset_interval=parse_reset(limit_reset),
        allowed_models=model,
        ignored_models=ignore_model,
        allowed_providers=provider,
        ignored_providers=ignore_provider,
        workspace_id=workspace,
    )

    show_row(open_accounts().guardrails.create(name, **fields), as_json=as_json)


@app.command("get")
def get_guardrail(guardrail: Id, *, as_json: Json = False) -> None:
    """Show a guardrail."""
    show_row(open_accounts().guardrails.get(guardrail), as_json=as_json)


@app.command("update")
def update_guardrail(  # noqa: PLR0913 - what it may restrict
    guardrail: Id,
    *,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    limit: Limit = None,
    limit_reset: Reset = None,
    model: Models = None,
    ignore_model: Models = None,
    provider: Providers = None,
    ignore_provider: Providers = None,
    as_json: Json = False,
) -> None:
    """Change a guardrail, for all keys that it is assigned to."""
    fields = given_options(
        name=name,
        limit_usd=limit,
        reset_interval=parse_reset(limit_reset),
        allowed_models=model,
        ignored_models=ignore_model,
        allowed_providers=provider,
        ignored_providers=ignore_provider,
    )

    if not fields:
        msg = "nothing to change"
        raise typer.BadParameter(msg)
    show_row(open_accounts().guardrails.update(guardrail, **fields), as_json=as_json)


@app.command("delete")
def delete_guardrail(guardrail: Id) -> None:
    """Delete a guardrail: its keys are no longer restricted by it."""
    open_accounts().guardrails.delete(guardrail)
    out().print(f"Deleted {guardrail}.")


@app.command("assign")
def assign_guardrail(guardrail: Id, key: Hashes, workspace: Workspace = None) -> None:
    """Assign a guardrail to keys."""
    accounts = open_accounts()
    hashes = [find_key(accounts, text, workspace) for text in key]
    out().print(f"Assigned to {accounts.guardrails.assign_keys(guardrail, hashes)} keys.")


@app.command("remove")
def remove_guardrail(guardrail: Id, key: Hashes, workspace: Workspace = None) -> None:
    """Take a guardrail from keys."""
    accounts = open_accounts()
    hashes = [find_key(accounts, text, workspace) for text in key]
    out().print(f"Taken from {accounts.guardrails.remove_keys(guardrail, hashes)} keys.")


@app.command("assignments")
def list_assignments(
    guardrail: Annotated[str | None, typer.Argument(help="Only those of this guardrail.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """List which keys have a guardrail."""
    show_rows(open_accounts().guardrails.key_assignments(guardrail), as_json=as_json)
