"""The commands `accounts sweep`, `rotate`, `revoke`, `restore`, `forget` and `usage`.

They work on keys that an app provisioned, and need its store: `--folder` or `--redis`. The store's
secret is read from OPENROUTER_KEY_STORE_SECRET; a folder of `KeyStore.file` has its own.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_openrouter._cli_accounts._output import (
    Json,
    Limit,
    Reset,
    Workspace,
    open_accounts,
    parse_reset,
    show_rows,
)
from langchain_openrouter._cli_console import out
from langchain_openrouter._redaction import printable

if TYPE_CHECKING:
    from langchain_openrouter.accounts import ProvisionedKeys
    from langchain_openrouter.key_store import KeyStore

__all__ = ["add_commands"]

SECRET = "OPENROUTER_KEY_STORE_SECRET"  # noqa: S105 - the variable's name
REDIS = "OPENROUTER_KEY_STORE_REDIS"
_PREFIX = "langchain-openrouter"

UserId = Annotated[
    str,
    typer.Argument(
        help="The user's id as the app passes it to `get`, not what `external_id` maps."
    ),
]
Create = Annotated[bool, typer.Option("--create", help="Also of a user who is not known yet.")]
Folder = Annotated[str | None, typer.Option(help="The folder of the app's FileStore.")]
Redis = Annotated[str | None, typer.Option(envvar=REDIS, help="The URL of the app's Redis.")]
Prefix = Annotated[str, typer.Option(help="The app's `name_prefix`.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (sweep, rotate, revoke, restore, forget, usage):
        app.command()(command)


def sweep(  # noqa: PLR0913 - which store, and what is done
    folder: Folder = None,
    redis: Redis = None,
    prefix: Prefix = _PREFIX,
    workspace: Workspace = None,
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; else it is only shown.")] = False,
    other_stores: Annotated[
        bool, typer.Option("--other-stores", help="Delete keys made for other stores too.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Even if the account has no user's key.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare the store and the account: lost keys, old ones, those of revoked users.

    Never --apply it on a copy of a store: it deletes keys that the original got since.
    """
    provisioned = _open(folder, redis, prefix, workspace)
    report = provisioned.sweep(dry_run=not apply, other_stores=other_stores, force=force)

    if as_json:
        print(json.dumps(report.data))  # noqa: T201 - for a script
    else:
        show_rows(report.actions, as_json=False)
        mode = "dry run, nothing was changed: --apply does it" if report.dry_run else "done"
        out().print(f"{report.users} users, {report.keys} keys; {mode}.")
    if report.errors:
        raise typer.Exit(1)


def rotate(  # noqa: PLR0913 - which store, and what the new key has
    user: UserId,
    *,
    limit: Limit = None,
    no_limit: Annotated[bool, typer.Option("--no-limit", help="The new key has none.")] = False,
    limit_reset: Reset = "monthly",
    expires_after: Annotated[float | None, typer.Option(help="Seconds.")] = None,
    guardrail: Annotated[str | None, typer.Option(help="The guardrail's id.")] = None,
    grace: Annotated[float, typer.Option(help="Seconds that the old key works on.")] = 3600.0,
    create: Create = False,
    folder: Folder = None,
    redis: Redis = None,
    prefix: Prefix = _PREFIX,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Replace a user's key: say what the new one may spend, as the app does."""
    if limit is None and not no_limit:
        msg = "pass --limit, as the app does, or --no-limit"
        raise typer.BadParameter(msg)
    provisioned = _open(
        folder,
        redis,
        prefix,
        workspace,
        limit=limit,
        limit_reset=parse_reset(limit_reset),
        expires_after=expires_after,
        guardrail=guardrail,
    )

    if not create:
        _check_known(provisioned, user, " Pass --create to make a key.")
    key = provisioned.rotate(user, grace=grace)
    _show("rotated", user, as_json=as_json, hash=key.fingerprint)


def revoke(  # noqa: PLR0913 - which store
    user: UserId,
    folder: Folder = None,
    redis: Redis = None,
    prefix: Prefix = _PREFIX,
    workspace: Workspace = None,
    *,
    create: Create = False,
    as_json: Json = False,
) -> None:
    """Disable a user's keys at once, and refuse new ones."""
    provisioned = _open(folder, redis, prefix, workspace)
    if not create:
        _check_known(provisioned, user, " Pass --create to refuse a user who has not come yet.")

    provisioned.revoke(user)
    _show("revoked", user, as_json=as_json)


def restore(  # noqa: PLR0913 - which store
    user: UserId,
    folder: Folder = None,
    redis: Redis = None,
    prefix: Prefix = _PREFIX,
    workspace: Workspace = None,
    *,
    as_json: Json = False,
) -> None:
    """Enable a revoked user's key again."""
    provisioned = _open(folder, redis, prefix, workspace)
    _check_known(provisioned, user)
    provisioned.restore(user)
    _show("restored", user, as_json=as_json)


def forget(  # noqa: PLR0913 - which store
    user: UserId,
    folder: Folder = None,
    redis: Redis = None,
    prefix: Prefix = _PREFIX,
    workspace: Workspace = None,
    *,
    as_json: Json = False,
) -> None:
    """Delete a user's keys, in the account and the store. The next use makes a new one.

    It lets a revoked user in again.
    """
    provisioned = _open(folder, redis, prefix, workspace)
    _check_known(provisioned, user)
    provisioned.forget(user)
    _show("forgotten", user, as_json=as_json)


def usage(  # noqa: PLR0913 - which store
    user: Annotated[str | None, typer.Argument(help="Only this user, by the app's id.")] = None,
    folder: Folder = None,
    redis: Redis = None,
    prefix: Prefix = _PREFIX,
    workspace: Workspace = None,
    *,
    as_json: Json = False,
) -> None:
    """Show what users used on the last 30 complete UTC days, and today."""
    show_rows(_open(folder, redis, prefix, workspace).usage(user), as_json=as_json)


def _check_known(provisioned: ProvisionedKeys, user: str, advice: str = "") -> None:
    """Check that the app's store has the user.

    Raises:
        typer.BadParameter: It has not.
    """
    if not provisioned.knows(user):
        msg = f"the store has no user {printable(user)}: look at the id, and --prefix.{advice}"
        raise typer.BadParameter(msg)


def _open(
    folder: str | None,
    redis: str | None,
    prefix: str,
    workspace: str | None,
    **options: Any,
) -> ProvisionedKeys:
    """Open the app's store and account."""
    from langchain_openrouter.accounts import ProvisionedKeys  # noqa: PLC0415 - slow to import

    store = _open_store(folder, redis)
    return ProvisionedKeys(
        open_accounts(), store=store, name_prefix=prefix, workspace_id=workspace, **options
    )


def _open_store(folder: str | None, redis: str | None) -> KeyStore:
    """Open the app's key store.

    Raises:
        typer.BadParameter: Not one of both was passed, the folder does not exist, or there is no
            secret.
    """
    from langchain_openrouter.key_store import (  # noqa: PLC0415 - slow to import
        FileStore,
        KeyStore,
        RedisStore,
    )

    secret = os.environ.get(SECRET)
    if (folder is None) == (redis is None):
        msg = "pass the app's store: --folder or --redis"
        raise typer.BadParameter(msg)
    if redis is not None:
        if secret is None:
            msg = f"set {SECRET}: what the app passes to its KeyStore"
            raise typer.BadParameter(msg)
        return KeyStore(RedisStore(redis), secret)
    if not Path(folder or "").is_dir():
        msg = f"there is no folder {folder}"
        raise typer.BadParameter(msg)
    return KeyStore.file(folder) if secret is None else KeyStore(FileStore(folder), secret)


def _show(what: str, user: str, *, as_json: bool, **more: str) -> None:
    if as_json:
        print(json.dumps({"user_id": user, what: True, **more}))  # noqa: T201 - for a script
        return
    suffix = "".join(f", {name} {value[:12]}" for name, value in more.items())
    out().print(f"{what.capitalize()} {printable(user)}{suffix}.")
