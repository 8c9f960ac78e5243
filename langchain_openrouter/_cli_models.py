"""The command models, and the slugs that a shell completes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_openrouter._cli_console import err, out, print_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_openrouter._catalog_types import Model

__all__ = ["add_models", "complete_slug", "matching_models"]

_NO_MATCH = 1  # the exit code, as of grep
_EXAMPLES = """Examples:

langchain-openrouter models claude --supports tools --max-price 5

langchain-openrouter models --free | cut -f1
"""


def complete_slug(incomplete: str) -> list[str]:
    """Return the known slugs that begin so, without a request."""
    from langchain_openrouter._model_slugs import known_slugs  # noqa: PLC0415 - slow to import

    return [slug for slug in known_slugs() if slug.startswith(incomplete)]


def matching_models(models: Iterable[Model], search: str) -> list[Model]:
    """Return the models whose slug and name have each of the search's terms."""
    terms = search.lower().split()
    return [
        model
        for model in models
        if all(term in f"{model.id} {model.name}".lower() for term in terms)
    ]


def add_models(app: typer.Typer) -> None:
    """Add the command to an app."""

    @app.command(epilog=_EXAMPLES)
    def models(  # noqa: PLR0913 - each is a filter
        search: Annotated[str | None, typer.Argument(help="Terms in the name or slug.")] = None,
        supports: Annotated[list[str] | None, typer.Option(help="A parameter, as tools.")] = None,
        input_: Annotated[
            list[str] | None, typer.Option("--input", help="image, file, ...")
        ] = None,
        max_price: Annotated[
            float | None, typer.Option(help="USD a million prompt tokens.")
        ] = None,
        limit: Annotated[int, typer.Option(help="How many, at the most.", min=1)] = 30,
        *,
        free: Annotated[bool, typer.Option("--free", help="Those that cost nothing.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="JSON, all fields as sent.")] = False,
        refresh: Annotated[
            bool, typer.Option("--refresh", help="Renew what is known of all models, list nothing.")
        ] = False,
    ) -> None:
        """List models; exit code 1 if none matches."""
        from langchain_openrouter.catalog import Catalog  # noqa: PLC0415 - slow to import

        if refresh:
            out().print(f"Profiles written to {Catalog().refresh_profiles()}")
            return

        matches = [
            model
            for model in matching_models(Catalog().models(), search or "")
            if set(supports or ()) <= set(model.supported_parameters)
            and set(input_ or ()) <= set(model.input_modalities)
            and (not free or model.is_free)
            and (max_price is None or (model.prompt_price or 0) * 1e6 <= max_price)
        ]
        _show(matches, limit, as_json=as_json)


def _show(matches: list[Model], limit: int, *, as_json: bool) -> None:
    """Print the first models.

    Raises:
        typer.Exit: There is none.
    """
    if as_json:
        print(json.dumps([dict(model.data) for model in matches[:limit]]))  # noqa: T201 - for a script
    elif matches:
        rows = [
            (
                model.id,
                f"{model.context_length or ''}",
                _per_million(model.prompt_price),
                _per_million(model.completion_price),
                ", ".join(model.input_modalities),
            )
            for model in matches[:limit]
        ]
        print_table(("model", "context", "in $/M", "out $/M", "takes"), rows)

    if not matches:
        err().print("No model matches.")
        raise typer.Exit(_NO_MATCH)
    if len(matches) > limit:
        err().print(f"{len(matches) - limit} more: narrow the search, or raise --limit.")


def _per_million(price: float | None) -> str:
    return "" if price is None else f"{price * 1e6:g}"
