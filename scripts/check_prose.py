"""Check what the formatter and the linter cannot: names, steps and layout of the package's code.

- A name says what a value is. Those below are participles and pronouns that read as riddles: `told`
  may be a message, an error or a payload. Use the field's word for what it is.
- A body of eight lines or more has a blank line between its steps.
- The formatter owns the layout: no `fmt: skip`.

Run by `make lint`; prints a line for each finding and exits with 1 if there is any.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parent.parent / "langchain_openrouter"
BANNED = {
    "asked": "request",
    "found": "matches, errors, or what was looked for",
    "given": "kwargs, value",
    "kept": "cached, stored",
    "one": "item, or what it is",
    "ours": "name, or whose it is",
    "place": "index, position",
    "said": "metadata, message",
    "theirs": "other, or whose it is",
    "told": "error, payload, message",
    "wanted": "params, expected",
    "whole": "total, complete",
    "words": "options, text",
}
ALIAS = "by its name in the first release"  # in the docstring of an alias that users rely on
STEPS = 8  # lines of a body from which it needs a blank line


def names_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield each name that a module introduces, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if ALIAS not in (ast.get_docstring(node) or ""):
                    yield node.lineno, name
            case ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.alias(asname=str(name)) | ast.MatchAs(name=str(name)):
                yield node.lineno, name


def dense_bodies(tree: ast.Module, lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield each function whose body of several statements is long and has no blank line."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        has_docstring = ast.get_docstring(node) is not None
        body = node.body[1:] if has_docstring else node.body
        if len(body) < 2:  # noqa: PLR2004 - one statement has no steps
            continue

        first, last = body[0].lineno, body[-1].end_lineno or body[-1].lineno
        inside = lines[first - 1 : last]
        if len(inside) >= STEPS and all(line.strip() for line in inside):
            yield node.lineno, node.name


def findings_in(path: Path) -> Iterator[str]:
    """Yield a line for each finding in a file."""
    text = path.read_text(encoding="utf-8")
    tree, lines = ast.parse(text), text.splitlines()
    for line, name in names_in(tree):
        if (bare := name.strip("_")) in BANNED:
            yield f"{path}:{line}: name `{name}`: say what it is ({BANNED[bare]})"
    for line, name in dense_bodies(tree, lines):
        yield f"{path}:{line}: `{name}` has {STEPS} lines or more and no blank line between steps"
    for number, line in enumerate(lines, start=1):
        if "# fmt: skip" in line or "# fmt: off" in line:
            yield f"{path}:{number}: the formatter owns the layout"


def main() -> int:
    """Print the findings."""
    findings = [found for path in sorted(PACKAGE.rglob("*.py")) for found in findings_in(path)]
    print(*findings, sep="\n" if findings else "")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
