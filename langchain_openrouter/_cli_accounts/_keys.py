"""The commands `accounts keys`."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_openrouter._cli_accounts._output import (
    Hash,
    Json,
    Limit,
    Reset,
    Workspace,
    all_keys,
    find_key,
    given_options,
    open_accounts,
    parse_reset,
    show_row,
    show_rows,
)
from langchain_openrouter._cli_console import Remember, err, open_store, out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_openrouter.accounts import Accounts, CreatedKey

__all__ = ["app"]

app = typer.Typer(help="The account's keys.", no_args_is_help=True)


@app.command("list")
def list_keys(
    user: Annotated[str | None, typer.Option(help="Only keys of this user of the app's.")] = None,
    workspace: Workspace = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Disabled and expired keys too.")] = False,
    as_json: Json = False,
) -> None:
    """List keys, the newest first."""
    accounts = open_accounts()
    listing = all_keys(accounts, workspace) if all_ else accounts.keys.list(workspace_id=workspace)
    rows = (key for key in listing if user is None or key.external_user == user)
    show_rows(rows, as_json=as_json)


@app.command("create")
def create_key(  # noqa: PLR0913 - what a key may have
    name: Annotated[str, typer.Argument(help="The key's name in the account.")],
    *,
    user: Annotated[str | None, typer.Option(help="The app's own id of its user.")] = None,
    limit: Limit = None,
    limit_reset: Reset = None,
    expires_at: Annotated[str | None, typer.Option(help="Such as 2026-12-31T00:00:00Z.")] = None,
    workspace: Workspace = None,
    store: Annotated[Remember | None, typer.Option(help="Store the key here.")] = None,
    store_as: Annotated[str | None, typer.Option(help="The id there: user, else name.")] = None,
    to_file: Annotated[str | None, typer.Option(help="Write the key to a new file, 0600.")] = None,
    show_key: Annotated[bool, typer.Option("--show-key", help="Print the key.")] = False,
    as_json: Json = False,
) -> None:
    """Create a key. The service sends it once: say where it goes."""
    if not (show_key or store or to_file):
        msg = "the key is sent once: pass --show-key, --store or --to-file"
        raise typer.BadParameter(msg)
    fields = given_options(
        external_user=user,
        limit=limit,
        expires_at=expires_at,
        workspace_id=workspace,
        limit_reset=parse_reset(limit_reset),
    )
    accounts = open_accounts()

    with contextlib.ExitStack() as stack:
        targets = []
        if store is not None:
            targets.append(_store_target(store, store_as or user or name))
        if to_file is not None:
            targets.append(stack.enter_context(_file_target(to_file)))
        created = accounts.keys.create(name, **fields)
        _deliver(accounts, created, targets)

    shown = {"key": created.key.secret.get_secret_value()} if show_key else {}
    show_row(created.record, as_json=as_json, **shown)


def _store_target(where: Remember, user_id: str) -> Callable[[CreatedKey], None]:
    store = open_store(where)
    return lambda created: store.set(user_id, created.key)


@contextlib.contextmanager
def _file_target(path: str) -> Iterator[Callable[[CreatedKey], None]]:
    """Make a new file that only its owner can read; it is removed if what follows fails.

    Raises:
        typer.BadParameter: It exists, or cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise typer.BadParameter(msg) from None

    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield lambda created: print(created.key.secret.get_secret_value(), file=file)
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise


def _deliver(
    accounts: Accounts, created: CreatedKey, targets: list[Callable[[CreatedKey], None]]
) -> None:
    """Put a new key where it belongs; delete it again if that fails."""
    try:
        for deliver in targets:
            deliver(created)
    except BaseException:
        err().print(f"the key {created.hash} could not be stored: deleting it again")
        accounts.keys.delete(created)
        raise


@app.command("get")
def get_key(key: Hash, workspace: Workspace = None, *, as_json: Json = False) -> None:
    """Show a key: its limit, and what was spent with it."""
    accounts = open_accounts()
    show_row(accounts.keys.get(find_key(accounts, key, workspace)), as_json=as_json)


@app.command("update")
def update_key(  # noqa: PLR0913 - what may be changed
    key: Hash,
    *,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    limit: Limit = None,
    limit_reset: Reset = None,
    move_to: Annotated[str | None, typer.Option(help="The workspace to move it to.")] = None,
    workspace: Workspace = None,
    no_limit: Annotated[bool, typer.Option("--no-limit", help="Remove the limit.")] = False,
    as_json: Json = False,
) -> None:
    """Change a key."""
    fields = given_options(name=name, limit=limit, workspace_id=move_to)
    if no_limit:
        fields["limit"] = None
    if limit_reset is not None:
        fields["limit_reset"] = parse_reset(limit_reset)
    if not fields:
        msg = "nothing to change"
        raise typer.BadParameter(msg)

    accounts = open_accounts()
    record = accounts.keys.update(find_key(accounts, key, workspace), **fields)
    show_row(record, as_json=as_json)


@app.command("disable")
def disable_key(key: Hash, workspace: Workspace = None, *, as_json: Json = False) -> None:
    """Disable a key: requests with it are refused at once."""
    accounts = open_accounts()
    show_row(accounts.keys.disable(find_key(accounts, key, workspace)), as_json=as_json)


@app.command("enable")
def enable_key(key: Hash, workspace: Workspace = None, *, as_json: Json = False) -> None:
    """Enable a key again."""
    accounts = open_accounts()
    show_row(accounts.keys.enable(find_key(accounts, key, workspace)), as_json=as_json)


@app.command("delete")
def delete_key(key: Hash, workspace: Workspace = None, *, as_json: Json = False) -> None:
    """Delete a key for good."""
    accounts = open_accounts()
    hash_ = find_key(accounts, key, workspace)
    accounts.keys.delete(hash_)

    if as_json:
        print(json.dumps({"hash": hash_, "deleted": True}))  # noqa: T201 - for a script
    else:
        out().print(f"Deleted {hash_}.")
