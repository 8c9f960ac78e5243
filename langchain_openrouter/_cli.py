"""The commands login, logout, whoami, models, chat, batch, batches, accounts, demo (`cli`).

Exit codes: 0 success, 1 error of OpenRouter or the network, 2 usage error, 3 no key, 4 sign-in
failed, 5 a cost ceiling is reached, 130 interrupted. Errors are printed to standard error, in one
line.
"""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.table import Table

from langchain_openrouter import _cli_accounts, errors, oauth
from langchain_openrouter._cli_batch import add_batch
from langchain_openrouter._cli_batches import add_batches
from langchain_openrouter._cli_console import PRINTED, Remember, err, open_store, out
from langchain_openrouter._redaction import printable
from langchain_openrouter.settings import OpenRouterSettings

app = typer.Typer(
    name="langchain-openrouter",
    help="OpenRouter from the command line.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(_cli_accounts.app, name="accounts")
_STORED_ID = "default"  # the user id in the key store
FAILED, NO_KEY, NO_SIGN_IN, INTERRUPTED = 1, 3, 4, 130


class Mode(StrEnum):
    """How the code is received."""

    AUTO = "auto"
    LOOPBACK = "loopback"
    HEADLESS = "headless"


def main() -> None:
    """Run the command line; an error becomes a line on standard error and an exit code."""
    try:
        code = app(standalone_mode=False)  # typer turns an interrupt into a code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except errors.SignInError as error:
        _end(error, NO_SIGN_IN)
    except errors.KeyRevokedError as error:
        _end(error, FAILED)
    except errors.AuthenticationError as error:
        _end(error, NO_KEY if error.code is None else FAILED)
    except (errors.OpenRouterError, ValueError, OSError, ImportError) as error:
        _end(error, FAILED)
    except Exception as error:
        show: Any = getattr(error, "show", None)  # a usage error of click
        if show is None:
            raise
        show()
        code = getattr(error, "exit_code", 2)

    if code == INTERRUPTED:
        err().print("interrupted")
    sys.exit(code or 0)


def _end(error: Exception, code: int) -> None:
    err().print(printable(str(error)))
    sys.exit(code)


# --- the key ----------------------------------------------------------------------------------


def _available_key() -> oauth.UserKey | None:
    """Return the key of the environment, else a stored one; None if there is none."""
    settings = OpenRouterSettings()
    if settings.api_key is not None:
        return oauth.UserKey(settings.api_key, None, settings.base_url)

    for where in Remember:
        try:
            store = open_store(where)
        except errors.KeyStoreError:
            continue
        key = store.get(_STORED_ID)
        if key is not None and key.base_url == settings.base_url:
            return key
    return None


def _key() -> oauth.UserKey:
    key = _available_key()
    if key is None:
        msg = "no key: set OPENROUTER_API_KEY, or `langchain-openrouter login`"
        raise errors.AuthenticationError(msg)
    return key


@app.command()
def login(  # noqa: PLR0913 - the options of a sign-in
    mode: Annotated[Mode, typer.Option(help="How the code is received.")] = Mode.AUTO,
    remember: Annotated[
        Remember | None, typer.Option(help="Store the key here.", show_default="file")
    ] = None,
    label: Annotated[str | None, typer.Option(help="The key's name in the account.")] = None,
    limit: Annotated[float | None, typer.Option(help="What the key may spend, USD.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds.")] = 300.0,
    *,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    no_remember: Annotated[bool, typer.Option("--no-remember", help="Store no key.")] = False,
) -> None:
    """Sign in with OpenRouter, and store the key on this machine."""
    if no_remember and remember is not None:
        msg = "--remember and --no-remember exclude each other"
        raise typer.BadParameter(msg)
    store = None if no_remember else open_store(remember or Remember.FILE)
    stored = None if store is None else store.get(_STORED_ID)

    key = oauth.login(
        mode=mode.value,
        open_browser=browser,
        timeout=timeout,
        key_label=label,
        limit=limit,
        key_store=store,
    )

    out().print(f"Signed in as {printable(key.user_id or 'somebody')}.")
    if store is None:
        out().print(f"The key is forgotten here, and works until you delete it: {key.settings_url}")
    elif stored is not None and stored.fingerprint == key.fingerprint:
        out().print("This key was stored before: `logout` first to sign in anew.")
    _show(key)


@app.command()
def logout() -> None:
    """Delete the stored key."""
    was_signed_in = False

    for where in Remember:
        try:
            store = open_store(where)
        except errors.KeyStoreError:
            continue
        if store.get(_STORED_ID) is not None:
            was_signed_in = True
            oauth.logout(store)

    if not was_signed_in:
        out().print("Nobody was signed in here.")
    if os.environ.get("OPENROUTER_API_KEY"):
        out().print("OPENROUTER_API_KEY is set, and is used all the same.")


@app.command()
def whoami(*, as_json: Annotated[bool, typer.Option("--json", help="JSON.")] = False) -> None:
    """Show whose key is used, its limit, and where it is managed."""
    _show(_key(), as_json=as_json)


def _show(key: oauth.UserKey, *, as_json: bool = False) -> None:
    info = key.info()
    facts = {
        "user_id": key.user_id,
        "label": info.label,
        "limit": info.limit,
        "remaining": info.remaining,
        "reset": info.reset,
        "usage": info.usage,
        "free_tier": info.is_free_tier,
        "expires_at": info.expires_at,
        "fingerprint": key.fingerprint,
        "settings_url": key.settings_url,
        "logs_url": key.logs_url,
    }
    if as_json:
        print(json.dumps(facts))  # noqa: T201 - for a script
        return

    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        if value is not None:
            table.add_row(name.replace("_", " "), printable(str(value)))
    out().print(table)


# --- models -----------------------------------------------------------------------------------


@app.command()
def models(  # noqa: PLR0913 - each is a filter
    search: Annotated[str | None, typer.Argument(help="Words in the name or slug.")] = None,
    supports: Annotated[list[str] | None, typer.Option(help="A parameter, as tools.")] = None,
    input_: Annotated[list[str] | None, typer.Option("--input", help="image, file, ...")] = None,
    max_price: Annotated[float | None, typer.Option(help="USD a million prompt tokens.")] = None,
    limit: Annotated[int, typer.Option(help="How many, at the most.", min=1)] = 30,
    *,
    free: Annotated[bool, typer.Option("--free", help="Those that cost nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, all fields as sent.")] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Renew what is known of all models, list nothing.")
    ] = False,
) -> None:
    """List models."""
    from langchain_openrouter.catalog import Catalog  # noqa: PLC0415 - slow to import

    if refresh:
        out().print(f"Profiles written to {Catalog().refresh_profiles()}")
        return

    terms = (search or "").lower().split()
    matches = [
        model
        for model in Catalog().models()
        if all(term in f"{model.id} {model.name}".lower() for term in terms)
        and set(supports or ()) <= set(model.supported_parameters)
        and set(input_ or ()) <= set(model.input_modalities)
        and (not free or model.is_free)
        and (max_price is None or (model.prompt_price or 0) * 1e6 <= max_price)
    ]
    if as_json:
        print(json.dumps([dict(model.data) for model in matches[:limit]]))  # noqa: T201 - for a script
        return

    table = Table("model", "context", "in $/M", "out $/M", "takes")
    for model in matches[:limit]:
        table.add_row(
            printable(model.id),
            f"{model.context_length or ''}",
            _per_million(model.prompt_price),
            _per_million(model.completion_price),
            printable(", ".join(model.input_modalities)),
        )

    out().print(table)
    if len(matches) > limit:
        out().print(f"{len(matches) - limit} more: narrow the search, or raise --limit.")


def _per_million(price: float | None) -> str:
    return "" if price is None else f"{price * 1e6:g}"


# --- chat -------------------------------------------------------------------------------------


@app.command()
def chat(
    prompt: Annotated[list[str] | None, typer.Argument(help="The question.")] = None,
    model: Annotated[str, typer.Option(help="Slug.")] = "openai/gpt-4o-mini",
    system: Annotated[str | None, typer.Option(help="The system prompt.")] = None,
    reasoning: Annotated[str | None, typer.Option(help="low, medium, high, ...")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The complete answer as JSON.")] = False,
) -> None:
    """Ask a model; piped input is added to the question. Without one, chat line by line."""
    from langchain_openrouter.chat_models import ChatOpenRouter  # noqa: PLC0415 - slow to import

    key = _key()
    chat_model = ChatOpenRouter(
        model=model,
        base_url=key.base_url,
        reasoning={"effort": reasoning} if reasoning else None,
    ).for_user(key)
    messages: list[Any] = [("system", system)] if system else []
    piped = "" if sys.stdin.isatty() else sys.stdin.read()
    question = "\n\n".join(filter(None, [" ".join(prompt or ()), piped.strip()]))
    if question:
        _answer(chat_model, [*messages, ("user", question)], as_json=as_json)
        return

    if not sys.stdin.isatty():
        msg = "nothing was asked"
        raise ValueError(msg)
    while line := _line():
        messages.append(("user", line))
        messages.append(_answer(chat_model, messages, as_json=as_json))


def _line() -> str:
    try:
        return input("> ").strip()
    except EOFError:
        return ""


def _answer(model: Any, messages: list[Any], *, as_json: bool) -> Any:
    """Stream an answer: text to standard output, reasoning and cost, dim, to standard error."""
    stdout, stderr = out(), err()
    answer, after_reasoning = None, False

    for chunk in model.stream(messages):
        answer = chunk if answer is None else answer + chunk
        if as_json:
            continue
        if reasoning := chunk.additional_kwargs.get("reasoning_content"):
            stderr.print(reasoning, style="dim", end="")
            after_reasoning = True
        elif chunk.text:
            if after_reasoning:
                stderr.print()
                after_reasoning = False
            stdout.file.write(printable(chunk.text, keep=PRINTED))  # `print` turns tabs into spaces
            stdout.file.flush()

    assert answer is not None  # noqa: S101 - a stream has a chunk, or has raised
    metadata = answer.response_metadata
    if as_json:
        fields = {"text": answer.text, "usage": answer.usage_metadata, **metadata}
        print(json.dumps(fields, default=str))  # noqa: T201 - for a script
        return answer

    stdout.print()
    cost = metadata.get("cost")
    price = None if cost is None else f"${cost:.6f}"
    parts = filter(None, (metadata.get("provider"), metadata.get("model_name"), price))
    stderr.print(printable(" · ".join(map(str, parts))), style="dim")
    return answer


add_batch(app, _key)
add_batches(app, _key)


@app.command()
def demo() -> None:
    """Sign in, stream, run a chain and an agent: on the emulator, or live with a key."""
    from langchain_openrouter import _demo  # noqa: PLC0415 - slow to import

    _demo.run(out())
