"""`python -m langchain_openrouter.testing`: the emulator on a port, or a check of cassettes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_openrouter.testing._command import run_command

if TYPE_CHECKING:
    from collections.abc import Sized


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Those of the command line; None takes the program's.

    Returns:
        The exit code: 0 success, 1 problems in cassettes, 2 usage error; for `run`, the command's.
    """
    parser = argparse.ArgumentParser(prog="python -m langchain_openrouter.testing")
    commands = parser.add_subparsers(dest="command")

    serve = commands.add_parser("serve", help="run the emulator (the default)")
    serve.add_argument("--port", type=int, default=8787)
    serve.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen at: 0.0.0.0 is every address, for containers; whoever reaches "
        "it may use the emulator (default: 127.0.0.1)",
    )
    run = commands.add_parser("run", help="run a command with an emulator beside it")
    run.add_argument("arguments", nargs=argparse.REMAINDER, metavar="COMMAND")
    lint = commands.add_parser("lint", help="look for secrets and faults in cassettes")
    lint.add_argument("paths", nargs="+", type=Path)

    options = parser.parse_args(arguments)
    if options.command == "lint":
        return _lint(options.paths)
    if options.command == "run":
        return _run(options.arguments)
    return _serve(getattr(options, "host", "127.0.0.1"), getattr(options, "port", 8787))


def _lint(paths: list[Path]) -> int:
    # The emulator needs no vcr: the extra `web` has all of it.
    from langchain_openrouter.testing.cassettes._lint import lint_file  # noqa: PLC0415

    missing = [path for path in paths if not path.exists()]
    if missing:
        print(f"{missing[0]} does not exist", file=sys.stderr)  # noqa: T201 - a command line
        return 2

    files = [path for path in paths if path.is_file()]
    files += [file for path in paths for file in sorted(path.rglob("*.yaml"))]
    problems = [(file, problem) for file in files for problem in lint_file(file)]
    for file, problem in problems:
        print(f"{file}: {problem}")  # noqa: T201 - a command line
    print(f"{_count(files, 'cassette')}, {_count(problems, 'problem')}")  # noqa: T201 - a command line
    return 1 if problems else 0


def _count(items: Sized, noun: str) -> str:
    return f"{len(items)} {noun}" if len(items) == 1 else f"{len(items)} {noun}s"


def _run(command: list[str]) -> int:
    from langchain_openrouter.testing.emulator import Emulator  # noqa: PLC0415 - `lint` needs none

    if not command:
        print("which command? For example: run python my_app.py", file=sys.stderr)  # noqa: T201
        return 2

    with Emulator() as emulator:
        added = {
            "OPENROUTER_BASE_URL": emulator.url,
            "OPENROUTER_API_KEY": "emulated",
            "OPENROUTER_MANAGEMENT_KEY": emulator.management_key,
        }
        return run_command(command, added)


def _serve(host: str, port: int) -> int:
    from langchain_openrouter.testing.emulator import Emulator  # noqa: PLC0415 - `lint` needs none

    emulator = Emulator(host=host, port=port)
    print(f"OpenRouter, emulated: OPENROUTER_BASE_URL={emulator.url}", flush=True)  # noqa: T201
    print("Any OPENROUTER_API_KEY is taken.")  # noqa: T201
    print(f"Keys are managed with OPENROUTER_MANAGEMENT_KEY={emulator.management_key}", flush=True)  # noqa: T201
    emulator.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
