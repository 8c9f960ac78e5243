"""`python -m langchain_openrouter.testing`: the emulator on a port, or a check of cassettes."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from langchain_openrouter.testing.cassettes._lint import problems_of


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit code: 0 fine, 1 problems found, 2 wrong words."""
    parser = argparse.ArgumentParser(prog="python -m langchain_openrouter.testing")
    commands = parser.add_subparsers(dest="command")
    serve = commands.add_parser("serve", help="run the emulator (the default)")
    serve.add_argument("--port", type=int, default=8787)
    run = commands.add_parser("run", help="run a command with an emulator beside it")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    lint = commands.add_parser("lint", help="look for secrets and faults in cassettes")
    lint.add_argument("paths", nargs="+", type=Path)
    given = parser.parse_args(arguments)
    if given.command == "lint":
        return _lint(given.paths)
    if given.command == "run":
        return _run(given.words)
    return _serve(getattr(given, "port", 8787))


def _lint(paths: list[Path]) -> int:
    missing = [path for path in paths if not path.exists()]
    if missing:
        print(f"{missing[0]} does not exist", file=sys.stderr)  # noqa: T201 - a command line
        return 2
    files = [path for path in paths if path.is_file()]
    files += [file for path in paths for file in sorted(path.rglob("*.yaml"))]
    found = [(file, problem) for file in files for problem in problems_of(file)]
    for file, problem in found:
        print(f"{file}: {problem}")  # noqa: T201 - a command line
    print(f"{len(files)} cassettes, {len(found)} problems")  # noqa: T201 - a command line
    return 1 if found else 0


def _run(words: list[str]) -> int:
    from langchain_openrouter.testing.emulator import Emulator  # noqa: PLC0415 - `lint` needs none

    with Emulator() as emulator:
        here = {"OPENROUTER_BASE_URL": emulator.url, "OPENROUTER_API_KEY": "emulated"}
        return subprocess.run(words, env={**os.environ, **here}, check=False).returncode  # noqa: S603 - the user's own command


def _serve(port: int) -> int:
    from langchain_openrouter.testing.emulator import Emulator  # noqa: PLC0415 - `lint` needs none

    emulator = Emulator(port=port)
    print(f"OpenRouter, emulated: OPENROUTER_BASE_URL={emulator.url}", flush=True)  # noqa: T201
    emulator.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
