"""The command `langchain-openrouter` (extra `cli`): its sign-in, and what all commands share.

Exit codes: 0 success, 1 error of OpenRouter or the network, 2 usage error, 3 no key, 4 sign-in
failed, 5 a cost ceiling is reached, 130 interrupted, 141 the reader of the output closed it.
Errors are printed to standard error, in one line.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from langchain_openrouter import _cli_accounts, errors, oauth
from langchain_openrouter._cli_batch import add_batch
from langchain_openrouter._cli_batches import add_batches
from langchain_openrouter._cli_chat import add_chat
from langchain_openrouter._cli_console import Remember, err, open_store, out, print_facts
from langchain_openrouter._cli_models import add_models
from langchain_openrouter._distribution import VERSION
from langchain_openrouter._redaction import printable
from langchain_openrouter.settings import OpenRouterSettings

_PANELS = 80  # columns of a terminal in which typer's panels cut no name of an option
app = typer.Typer(
    name="langchain-openrouter",
    rich_markup_mode="rich" if shutil.get_terminal_size().columns >= _PANELS else None,
    help="OpenRouter from the command line.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(_cli_accounts.app, name="accounts")
_STORED_ID = "default"  # the user id in the key store
FAILED, NO_KEY, NO_SIGN_IN, INTERRUPTED, BROKEN_PIPE = 1, 3, 4, 130, 141


class Mode(StrEnum):
    """How the code is received."""

    AUTO = "auto"
    LOOPBACK = "loopback"
    HEADLESS = "headless"


def _print_version(value: bool) -> None:  # noqa: FBT001 - typer's form
    if value:
        print(VERSION)  # noqa: T201 - for a script
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """OpenRouter from the command line."""
    del version


def _terminate(signal_number: int, _: Any) -> None:
    """Leave by an exception, which puts a terminal back as it was."""
    sys.exit(128 + signal_number)


def main() -> None:
    """Run the command line; an error becomes a line on standard error and an exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _run()
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


def _run() -> Any:
    """Run the command that the arguments name; return its exit code."""
    try:
        # typer turns an interrupt into a code; the name also stands in scripts of shells
        return app(prog_name="langchain-openrouter", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _leave_pipe()
    except SystemExit as end:  # so click and rich end where a pipe closes
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        return _leave_pipe()


def _leave_pipe() -> int:
    """Write no more to a reader that has read enough, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE


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

    print_facts(
        (name.replace("_", " "), str(value)) for name, value in facts.items() if value is not None
    )


add_models(app)
add_chat(app, _key)
add_batch(app, _key)
add_batches(app, _key)


@app.command()
def demo() -> None:
    """Sign in, stream, run a chain and an agent: on the emulator, or live with a key."""
    from langchain_openrouter import _demo  # noqa: PLC0415 - slow to import

    _demo.run(out())
