"""`python -m langchain_openrouter`, and the command `langchain-openrouter`."""

from __future__ import annotations

import sys

from langchain_openrouter._conflict import warn_of_conflict


def main() -> None:
    """Run the command line, or print how to install it."""
    warn_of_conflict()  # the command runs without `__init__.py`, too
    try:
        import rich  # noqa: F401, PLC0415 - an extra
        import typer  # noqa: F401, PLC0415 - an extra
    except ImportError:
        sys.stderr.write("The command line: pip install 'langchain-openrouter-oauth[cli]'\n")
        sys.exit(1)
    try:
        from langchain_openrouter import _cli  # noqa: PLC0415 - needs the extra
    except KeyboardInterrupt:
        sys.exit(130)

    _cli.main()


if __name__ == "__main__":
    main()
