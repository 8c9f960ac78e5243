"""The commands batches list, show, collect, cancel and delete: what runs at OpenRouter.

A batch is named by the file of its handle, or by the output of `batch --engine openrouter`, beside
which the handle is.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_openrouter._cli_console import print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langchain_openrouter.batch import BatchHandle, OpenRouterBatches, RemoteBatch
    from langchain_openrouter.oauth import UserKey

_SUFFIX = ".batch.json"
_STILL_RUNNING = 1
HandlePath = Annotated[Path, typer.Argument(help="The handle's file, or the output of `batch`.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON.")]


def add_batches(app: typer.Typer, find_key: Callable[[], UserKey]) -> None:
    """Add the commands to an app.

    Args:
        app: The app.
        find_key: Returns the key that requests are sent with.
    """
    batches = typer.Typer(help="What runs at OpenRouter's Batch API.", no_args_is_help=True)
    app.add_typer(batches, name="batches")

    @batches.command("list")
    def list_(
        limit: Annotated[int, typer.Option(help="How many.", min=1, max=100)] = 20,
        status: Annotated[list[str] | None, typer.Option(help="Those alone.")] = None,
        *,
        as_json: AsJson = False,
    ) -> None:
        """List the workspace's batches, the newest first."""
        page = to_resource(find_key()).list_batches(limit=limit, status=status or None)
        show_batches(page.batches, as_json=as_json)

    @batches.command()
    def show(handle: HandlePath, *, as_json: AsJson = False) -> None:
        """Show how far the batches of a handle are; exit code 1 while one runs."""
        from langchain_openrouter.batch import status  # noqa: PLC0415 - slow to import

        current = status(read_handle(handle), to_resource(find_key()))
        show_batches(current.batches, as_json=as_json)
        raise typer.Exit(0 if current.has_ended else _STILL_RUNNING)

    @batches.command()
    def collect(
        handle: HandlePath,
        schema: Annotated[str | None, typer.Option(help="As of the submission.")] = None,
    ) -> None:
        """Print the results of batches that have ended, a line of JSON for each row."""
        from langchain_openrouter._cli_batch import read_schema  # noqa: PLC0415 - slow to import
        from langchain_openrouter.batch import collect as collect_  # noqa: PLC0415 - slow too

        known = read_handle(handle)
        for result in collect_(known, to_resource(find_key()), schema=read_schema(schema)):
            sys.stdout.write(result.to_json().decode())

    @batches.command()
    def cancel(handle: HandlePath) -> None:
        """Say whether batches can still be stopped: OpenRouter has no request that does it."""
        from langchain_openrouter.batch import cancel as cancel_  # noqa: PLC0415 - slow to import

        show_batches(cancel_(read_handle(handle), to_resource(find_key())).batches, as_json=False)

    @batches.command()
    def delete(handle: HandlePath) -> None:
        """Erase the requests and results of batches that have ended. Collect them before."""
        from langchain_openrouter.batch import delete as delete_  # noqa: PLC0415 - slow to import

        delete_(read_handle(handle), to_resource(find_key()))


def to_resource(key: UserKey) -> OpenRouterBatches:
    """Return the resource that a key's requests are sent with."""
    from langchain_openrouter.batch import OpenRouterBatches  # noqa: PLC0415 - slow to import

    return OpenRouterBatches(base_url=key.base_url).for_user(key)


def read_handle(path: Path) -> BatchHandle:
    """Return the handle of a file, or the one beside an output.

    Raises:
        typer.BadParameter: There is none.
    """
    from langchain_openrouter.batch import BatchHandle  # noqa: PLC0415 - slow to import

    beside = path.with_name(f"{path.name}{_SUFFIX}")
    for candidate in (beside, path):
        if candidate.exists():
            return BatchHandle.load(candidate)

    msg = f"there is neither {path} nor {beside.name} beside it"
    raise typer.BadParameter(msg)


def show_batches(batches: Iterable[RemoteBatch], *, as_json: bool) -> None:
    """Print batches as a table, or as JSON without their requests and results."""
    records = [_to_record(batch) for batch in batches]
    if as_json:
        print(json.dumps(records))  # noqa: T201 - for a script
        return

    rows = []
    for record in records:
        created = record["created_at"]
        when = "" if created is None else f"{datetime.fromtimestamp(created, UTC):%Y-%m-%d %H:%M}"
        cost = "" if record["cost"] is None else f"{record['cost']:.6f}"
        cells = (
            record["id"],
            record["status"],
            record["model"] or "",
            f"{record['completed']:,} of {record['total']:,}",
            f"{record['failed'] or ''}",
            cost,
            when,
        )
        rows.append([str(cell) for cell in cells])
    print_table(("id", "status", "model", "rows", "failed", "USD", "created"), rows)


def _to_record(batch: RemoteBatch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "status": batch.status,
        "model": batch.model,
        "provider": batch.provider,
        "total": batch.counts.total,
        "completed": batch.counts.completed,
        "failed": batch.counts.failed,
        "cost": batch.cost,
        "created_at": batch.created_at,
        "expires_at": batch.expires_at,
    }
