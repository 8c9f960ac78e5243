"""The commands `accounts users`."""

from __future__ import annotations

from typing import Annotated

import typer

from langchain_openrouter._cli_accounts._output import (
    Json,
    User,
    open_accounts,
    show_row,
    show_rows,
)

__all__ = ["app"]

app = typer.Typer(help="The app's own users, registered with the account.", no_args_is_help=True)


@app.command("list")
def list_users(
    *,
    all_: Annotated[bool, typer.Option("--all", help="Inactive users too.")] = False,
    as_json: Json = False,
) -> None:
    """List registered users."""
    listing = open_accounts().external_users.list(include_inactive=all_ or None)
    show_rows(listing, as_json=as_json)


@app.command("create")
def create_user(user: User, *, as_json: Json = False) -> None:
    """Register a user."""
    show_row(open_accounts().external_users.create(user), as_json=as_json)


@app.command("get")
def get_user(user: User, *, as_json: Json = False) -> None:
    """Show a user."""
    show_row(open_accounts().external_users.get(user), as_json=as_json)


@app.command("activate")
def activate_user(user: User, *, as_json: Json = False) -> None:
    """Make a user active."""
    show_row(open_accounts().external_users.update(user, is_active=True), as_json=as_json)


@app.command("deactivate")
def deactivate_user(user: User, *, as_json: Json = False) -> None:
    """Make a user inactive; it does not stop the user's keys: disable them."""
    show_row(open_accounts().external_users.update(user, is_active=False), as_json=as_json)
