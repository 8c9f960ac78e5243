"""The command batch: a model over the rows of a file. Needs the extras `cli` and `batch`.

Exit codes, beside those of the other commands: 0 each row has an output, 1 some rows failed, 5 the
cost ceiling is reached, 130 Ctrl-C; after all of them the same command goes on.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from langchain_openrouter._cli_schema import parse_schema
from langchain_openrouter._redaction import printable
from langchain_openrouter.errors import BatchError
from langchain_openrouter.settings import OpenRouterSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_openrouter.batch import BatchResult
    from langchain_openrouter.chat_models import ChatOpenRouter
    from langchain_openrouter.oauth import UserKey

_KEY_VARIABLE = "OPENROUTER_API_KEY"
_OPTIONS = {
    "resume=False": "--no-resume",
    "engine='local'": "--engine local",
    "max_cost=": "--max-cost ",
    "max_cost needs": "--max-cost needs",
    "`max_tokens` on the model": "--max-tokens",
    "Lower `max_tokens`": "Lower --max-tokens",
    "pass `prompt=`": "pass --prompt",
}
SOME_FAILED, MAX_COST, INTERRUPTED = 1, 5, 130


def add_batch(app: typer.Typer, find_key: Callable[[], UserKey]) -> None:
    """Add the command to an app.

    Args:
        app: The app.
        find_key: Returns the key that requests are sent with.
    """

    @app.command()
    def batch(  # noqa: PLR0913 - the options of a batch
        rows: Annotated[Path, typer.Argument(help="JSONL, CSV, TSV or Parquet.")],
        *,
        output: Annotated[Path, typer.Option(help=".jsonl, .parquet or .csv")],
        model: Annotated[str, typer.Option(help="Slug.")] = "openai/gpt-4o-mini",
        prompt: Annotated[str | None, typer.Option(help="A text with {columns}.")] = None,
        system: Annotated[str | None, typer.Option(help="The system prompt.")] = None,
        schema: Annotated[
            str | None, typer.Option(help="A file, JSON, or 'label, confidence float'.")
        ] = None,
        key: Annotated[str | None, typer.Option(help="The column that identifies a row.")] = None,
        max_cost: Annotated[float | None, typer.Option(help="USD, for all runs.", min=0)] = None,
        max_tokens: Annotated[int | None, typer.Option(help="Of each answer.", min=1)] = None,
        reasoning: Annotated[str | None, typer.Option(help="low, medium, high, ...")] = None,
        concurrency: Annotated[int | None, typer.Option(help="At most.", min=1)] = None,
        engine: Annotated[str, typer.Option(help="local, ray or openrouter")] = "local",
        resume: Annotated[bool, typer.Option(help="Go on, or begin anew.")] = True,
        retry_all: Annotated[
            bool, typer.Option("--retry-all", help="Send rows again whose error will not pass.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
    ) -> None:
        """Run a model over the rows of a file; the same command goes on where it ended."""
        fields = {
            "model": model,
            "max_tokens": max_tokens,
            "reasoning": {"effort": reasoning} if reasoning else None,
        }
        result = _run(
            _workers_model(fields) if engine == "ray" else _own_model(fields, find_key()),
            rows,
            prompt=_prompt(prompt, system),
            schema=read_schema(schema),
            output=output,
            key=key,
            max_cost=max_cost,
            max_concurrency=concurrency,
            engine=engine,
            resume=resume,
            retry_failed="all" if retry_all else True,
        )

        _show(result, as_json=as_json)
        raise typer.Exit(_exit_code(result))


def _run(*arguments: Any, **options: Any) -> BatchResult:
    """Run a batch; an error names the command's options instead of the function's arguments."""
    from langchain_openrouter.batch import run  # noqa: PLC0415 - slow to import

    try:
        return run(*arguments, **options)
    except (BatchError, ValueError) as error:
        text = str(error)
        for name, option in _OPTIONS.items():
            text = text.replace(name, option)
        if text == str(error):
            raise

        raise ValueError(text) from error


def _own_model(fields: dict[str, Any], key: UserKey) -> ChatOpenRouter:
    """Return the model on the key of this machine."""
    from langchain_openrouter.chat_models import ChatOpenRouter  # noqa: PLC0415 - slow to import

    return ChatOpenRouter(base_url=key.base_url, **fields).for_user(key)


def _workers_model(fields: dict[str, Any]) -> ChatOpenRouter:
    """Return a model whose key each worker of a cluster reads from its own environment.

    Raises:
        typer.BadParameter: The variable is not set here: the workers of this machine have none.
    """
    from langchain_openrouter.batch import key_from_env  # noqa: PLC0415 - slow to import
    from langchain_openrouter.chat_models import ChatOpenRouter  # noqa: PLC0415 - slow too

    if not os.environ.get(_KEY_VARIABLE):
        msg = f"--engine ray: set {_KEY_VARIABLE}, here and on the workers, which read the key"
        raise typer.BadParameter(msg)
    base_url = OpenRouterSettings().base_url  # of this machine: it is no secret, and travels
    return ChatOpenRouter(api_key=key_from_env(_KEY_VARIABLE), base_url=base_url, **fields)


def _prompt(prompt: str | None, system: str | None) -> Any:
    """Return the prompt of a batch: a text, or messages with a system prompt."""
    if system is None:
        return prompt
    if prompt is None:
        msg = "`--system` needs `--prompt`: messages of rows bring their own"
        raise typer.BadParameter(msg)
    return [("system", system), ("user", prompt)]


def read_schema(text: str | None) -> Any:
    """Return the JSON schema that `--schema` names.

    Raises:
        typer.BadParameter: It is none.
    """
    if text is None:
        return None
    try:
        return parse_schema(text)
    except (OSError, ValueError) as error:
        msg = f"--schema: {error}"
        raise typer.BadParameter(msg) from None


def _show(result: BatchResult, *, as_json: bool) -> None:
    """Print the summary, and on standard error how to go on."""
    if as_json:
        print(json.dumps(_summary(result)))  # noqa: T201 - for a script
    else:
        total = "" if result.total is None else f" of {result.total:,}"
        line = f"{result.done:,}{total} rows done, {result.failed:,} failed, ${result.spent:.6f}"
        print(printable(f"{line}: {result.path}"))  # noqa: T201 - the result

    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
    for name, count in sorted(result.stats.errors.items()):
        console.print(f"{count:,} {printable(name)}")
    if hint := _how_to_go_on(result):
        console.print(printable(hint))


def _summary(result: BatchResult) -> dict[str, Any]:
    return {
        "done": result.done,
        "failed": result.failed,
        "total": result.total,
        "stopped": result.stopped,
        "spent": result.spent,
        "cost": result.cost,
        "seconds": round(result.seconds, 3),
        "output": str(result.path),
        "errors": result.stats.errors,
        "cost_by_provider": {name: stats.cost for name, stats in result.stats.by_provider.items()},
    }


def _how_to_go_on(result: BatchResult) -> str:
    """Return the command that runs the rest; nothing where there is no rest."""
    arguments = [word for word in sys.argv[1:] if word != "--no-resume"]
    if result.stopped == "max_cost":
        arguments = _without_option(arguments, "--max-cost")
    command = shlex.join(["langchain-openrouter", *arguments])

    if result.stopped == "max_cost":
        command += " --max-cost ..."
        return f"The ceiling is reached. For the rest, with a higher --max-cost: {command}"
    if result.stopped:
        return f"Stopped; what is done is kept. To go on: {command}"
    return f"To send failed rows again: {command}" if result.failed else ""


def _without_option(arguments: list[str], name: str) -> list[str]:
    """Return arguments without an option and its value."""
    options = iter(arguments)
    remaining = []

    for word in options:
        if word == name:
            next(options, None)
        elif not word.startswith(f"{name}="):
            remaining.append(word)
    return remaining


def _exit_code(result: BatchResult) -> int:
    if result.stopped is not None:
        return MAX_COST if result.stopped == "max_cost" else INTERRUPTED
    return SOME_FAILED if result.failed else 0
