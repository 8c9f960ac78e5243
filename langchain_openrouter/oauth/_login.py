"""`login()`, `alogin()` and `logout()`: `PKCELogin` with a browser, a prompt and a key store."""

from __future__ import annotations

import asyncio
import threading
import warnings
import webbrowser
from concurrent.futures import Future
from html import escape
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self, Unpack

from langchain_openrouter.errors import (
    AuthenticationError,
    OpenRouterError,
    SignInCodeError,
    SignInDeniedError,
    SignInError,
    SignInListenerError,
    SignInRefusedError,
    SignInTimeoutError,
)
from langchain_openrouter.oauth import _headless
from langchain_openrouter.oauth._granted import warn_of_difference
from langchain_openrouter.oauth._loopback_server import CallbackResponse, LoopbackServer
from langchain_openrouter.oauth._options import (
    USER_ID,
    LoginOptions,
    rename_former_options,
    store_and_id,
    with_login_signature,
)
from langchain_openrouter.oauth._pkce import PKCELogin
from langchain_openrouter.oauth._prompt import CancellablePrompt, has_terminal, prompt_in_notebook
from langchain_openrouter.oauth._user_key import UserKey

if TYPE_CHECKING:
    from langchain_openrouter.oauth._options import KeyStoreProtocol, Mode

_TIMEOUT = 300.0  # seconds
_MAX_PASTES = 5
_NOT_REVOKED = "Forgotten here, but not revoked: the key works until you delete it at"


@with_login_signature
def login(**options: Unpack[LoginOptions]) -> UserKey:
    """Sign a user in and return the user's own key.

    The URL of the sign-in page is printed on a line of its own, and opened in a browser. While the
    listener waits, a code or a URL can be pasted at the terminal too; the first result is used.

    Args:
        **options: See `LoginOptions`, and `PKCELogin.start` for the options of the page.

    Returns:
        The key, from the key store if it has one that OpenRouter accepts. Where a new key has
        another limit, expiry or workspace than requested, there is a warning, and `key.granted`
        says how it differs.

    Raises:
        SignInError: The sign-in ended without a key. The port is free again in every case.
        ValueError: An option is not valid.
    """
    options = rename_former_options(options)
    remembered = _RememberedKey(options)
    store, user_id = remembered.store, remembered.user_id

    if store is not None:
        key = remembered.matching(store.get(user_id))
        if key is not None:
            if not _is_rejected(_verify(key)):
                return key
            store.delete(user_id)

    with _LoginFlow(options) as flow:
        flow.begin()
        flow.browse()
        key = _unwrap(flow.wait())

    if store is not None:
        try:
            store.set(user_id, key)
        except Exception as error:  # noqa: BLE001 - the key must not be lost with it
            remembered.warn(error)
    flow.warn_of_difference(key)
    return key


@with_login_signature
async def alogin(**options: Unpack[LoginOptions]) -> UserKey:
    """Sign in like `login` without blocking the event loop. Cancellation frees the port."""
    options = rename_former_options(options)
    remembered = _RememberedKey(options)
    store, user_id = remembered.store, remembered.user_id

    if store is not None:
        key = remembered.matching(await store.aget(user_id))
        if key is not None:
            if not _is_rejected(await asyncio.to_thread(_verify, key)):
                return key
            await store.adelete(user_id)

    with _LoginFlow(options) as flow:
        flow.begin()
        await asyncio.to_thread(flow.browse)
        key = _unwrap(await flow.await_result())

    if store is not None:
        try:
            await store.aset(user_id, key)
        except Exception as error:  # noqa: BLE001 - the key must not be lost with it
            remembered.warn(error)
    flow.warn_of_difference(key)
    return key


def logout(
    key_store: KeyStoreProtocol | None = None,
    user_id: str | None = None,
    *,
    remember: KeyStoreProtocol | None = None,
    remember_as: str | None = None,
) -> str | None:
    """Delete a key that `login(key_store=...)` stored, and print where it can be revoked.

    The key itself still works: only its owner can delete it, on that page.

    Args:
        key_store: Where the key is stored.
        user_id: The id in the key store; None is "default".
        remember: The former name of `key_store`.
        remember_as: The former name of `user_id`.

    Returns:
        The URL of the page; None if no key was stored.

    Raises:
        TypeError: No key store is passed.
        ValueError: An argument is passed under both of its names.
        KeyStoreError: The stored key cannot be read; it is deleted nevertheless.
    """
    former = {"remember": remember, "remember_as": remember_as}
    store, stored_id = store_and_id({"key_store": key_store, "user_id": user_id, **former})
    if store is None:
        msg = "pass the key store: `logout(key_store)`"
        raise TypeError(msg)
    try:
        key = store.get(stored_id)
    finally:  # a key that cannot be read is deleted too
        store.delete(stored_id)

    if key is None:
        _announce("Nobody was signed in here.")
        return None
    _announce(_NOT_REVOKED, key.settings_url)
    return key.settings_url


class _RememberedKey:
    """The key store of a sign-in, and the user's id in it."""

    def __init__(self, options: LoginOptions) -> None:
        self.store = options.get("key_store")
        self.user_id = options.get("user_id", USER_ID)
        self._base_url = None
        if self.store is not None:
            self._base_url = PKCELogin.start(
                settings=options.get("settings"), base_url=options.get("base_url")
            ).base_url

    def matching(self, key: UserKey | None) -> UserKey | None:
        """Return the key if it is for the API of this sign-in."""
        return key if key is not None and key.base_url == self._base_url else None

    @staticmethod
    def warn(error: Exception) -> None:
        msg = f"signed in, but the key could not be kept ({type(error).__name__}): {error}"
        warnings.warn(msg, RuntimeWarning, stacklevel=3)


class _LoginFlow:
    """A sign-in in progress: a listener and a prompt, of which the first result is used."""

    def __init__(self, options: LoginOptions) -> None:
        self._timeout = options.get("timeout", _TIMEOUT)
        self._open_browser = options.get("open_browser", True)
        self._prompt = options.get("prompt")
        self._in_jupyter = _headless.in_jupyter()

        self._outcome: Future[UserKey | SignInError] = Future()
        self._exchange_lock = threading.Lock()
        self._exchanged: UserKey | SignInError | None = None  # set while the lock is held
        self._pastes_left = _MAX_PASTES
        self._terminal_prompt: CancellablePrompt | None = None
        self._server = self._listen(options.get("mode", "auto"))

        callback = f"http://127.0.0.1:{self._server.port}/callback" if self._server else None
        try:
            self._login = PKCELogin.start(
                callback,
                options.get("key_label"),
                options.get("limit"),
                usage_limit_type=options.get("usage_limit_type"),
                expires_at=options.get("expires_at"),
                workspace_id=options.get("workspace_id"),
                required_workspace_id=options.get("required_workspace_id"),
                settings=options.get("settings"),
                base_url=options.get("base_url"),
            )
        except ValueError:
            self.close()
            raise

    def _listen(self, mode: Mode) -> LoopbackServer | None:
        """Bind a free port before the URL is built; None for a headless sign-in."""
        if mode not in {"auto", "loopback", "headless"}:
            msg = f'mode must be "auto", "loopback" or "headless", not {mode!r}'
            raise ValueError(msg)

        has_browser = None if self._open_browser is True else True
        if mode == "headless" or (mode == "auto" and _headless.why_headless(browser=has_browser)):
            return None

        try:
            return LoopbackServer(self._outcome)
        except OSError as error:
            if mode == "auto":
                return None
            msg = f'no port of 127.0.0.1 can be bound ({error.strerror}) - use mode="headless"'
            raise SignInListenerError(msg) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the port and restore the terminal."""
        if self._server is not None:
            self._server.close()
        if self._terminal_prompt is not None:
            self._terminal_prompt.cancel()

    def begin(self) -> None:
        """Listen, print the URL, and prompt for the code."""
        if self._server is not None:
            try:
                self._server.start(f"/callback/{self._login.nonce}", self._on_callback)
            except RuntimeError as error:  # the system allows no further thread
                msg = f'no redirect can be received here ({error}) - use mode="headless"'
                raise SignInListenerError(msg) from None

        _announce("Sign in with OpenRouter at", self._login.url, in_jupyter=self._in_jupyter)
        if self._in_jupyter and self._server is None:
            try:
                self._on_paste(prompt_in_notebook(self._prompt, self._timeout))
            except TimeoutError:
                self._outcome.set_result(self._timeout_error())
        elif self._server is None or self._prompt is not None or has_terminal():
            self._terminal_prompt = CancellablePrompt(self._prompt, self._on_paste, self._on_error)
            self._terminal_prompt.start()

    def browse(self) -> None:
        """Open the page in a browser if there is one; the URL is printed in any case."""
        if self._open_browser is False or self._outcome.done():
            return
        if self._open_browser is True:
            if self._server is not None or _headless.why_headless() is None:
                webbrowser.open(self._login.url)
            return
        self._open_browser(self._login.url)

    def wait(self) -> UserKey | SignInError:
        """Wait for the first result, or until the timeout.

        A Ctrl-C inside `Future.result` can end in a RuntimeError of its lock; a `SimpleQueue` waits
        in C, where it cannot.
        """
        finished: SimpleQueue[Any] = SimpleQueue()
        self._outcome.add_done_callback(finished.put)
        try:
            finished.get(timeout=self._timeout)
        except Empty:
            return self._late_result() or self._timeout_error()
        return self._outcome.result()

    async def await_result(self) -> UserKey | SignInError:
        """Wait like `wait`."""
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.wrap_future(self._outcome)
        except TimeoutError:
            return await asyncio.to_thread(self._late_result) or self._timeout_error()

    def _late_result(self) -> UserKey | SignInError | None:
        """Wait for an exchange that is under way: the key that it brings would be lost."""
        with self._exchange_lock:
            return self._exchanged

    def _timeout_error(self) -> SignInTimeoutError:
        return SignInTimeoutError(
            f"nobody signed in within {self._timeout:g} s - begin anew, or raise `timeout=`"
        )

    def warn_of_difference(self, key: UserKey) -> None:
        """Warn where the key has something else than was requested; after it was stored."""
        warn_of_difference(self._login, key)

    # --- results --------------------------------------------------------------------------

    def _exchange_once(self, pasted: str) -> UserKey | SignInError:
        """Exchange a code, unless one was exchanged: browser and paste may come at once."""
        with self._exchange_lock:
            if self._exchanged is not None:
                return self._exchanged
            outcome = self._exchange(pasted)
            if not _code_unused(outcome):
                self._exchanged = outcome
            return outcome

    def _exchange(self, pasted: str) -> UserKey | SignInError:
        """Exchange a code and verify the key: only a rejection by OpenRouter is an error."""
        try:
            outcome = self._login._redeem(pasted)  # noqa: SLF001 - private to this package
        except Exception as error:  # noqa: BLE001 - ends the wait; no frame may hold a code
            return SignInError(
                f"the exchange failed unexpectedly ({type(error).__name__}) - begin a new sign-in"
            )

        if (
            isinstance(outcome, UserKey)
            and outcome.granted is None
            and _is_rejected(_verify(outcome))
        ):
            return SignInRefusedError(
                "OpenRouter does not accept the key that it gave - begin a new sign-in", code=401
            )
        return outcome

    def _on_callback(self, target: str) -> CallbackResponse:
        """Exchange the code of a callback, and return the page for the browser."""
        outcome = self._exchange_once(f"http://127.0.0.1{target}")

        if _code_unused(outcome):
            return CallbackResponse(400, "This is not the sign-in", escape(str(outcome)))
        if isinstance(outcome, UserKey):
            text = "You may close this tab and go back to your program."
            return CallbackResponse(200, "You are signed in", text, outcome)
        if isinstance(outcome, SignInDeniedError):
            text = "You said no, and no key was made."
            return CallbackResponse(200, "You are not signed in", text, outcome)
        return CallbackResponse(502, "The sign-in failed", escape(str(outcome)), outcome)

    def _on_paste(self, pasted: str | None) -> bool:
        """Exchange what was pasted; return whether to prompt again."""
        if self._outcome.done():
            return False

        outcome = self._exchange_once(pasted or "")
        self._pastes_left -= 1
        if _code_unused(outcome):
            can_repeat = pasted is not None and self._prompt is None and not self._in_jupyter
            if can_repeat and self._pastes_left and (has_terminal() or self._server):
                _announce(str(outcome))
                return True
            if self._server is not None and not (pasted or "").strip():
                return False  # nothing was pasted: the browser may still come back

        if not self._outcome.done():
            self._outcome.set_result(outcome)
        return False

    def _on_error(self, error: Exception) -> None:
        if not self._outcome.done():
            self._outcome.set_exception(error)


def _code_unused(outcome: UserKey | SignInError) -> bool:
    """Tell whether no code was sent to OpenRouter, so that the right one may still come."""
    return isinstance(outcome, SignInCodeError) and outcome.code is None


def _unwrap(outcome: UserKey | SignInError) -> UserKey:
    if isinstance(outcome, SignInError):
        raise outcome
    return outcome


def _verify(key: UserKey) -> OpenRouterError | None:
    """Request the facts of a key; return the error as a value."""
    try:
        key.info()
    except OpenRouterError as error:
        return error
    except Exception:  # noqa: BLE001 - a response that cannot be read does not reject the key
        return None
    return None


def _is_rejected(error: OpenRouterError | None) -> bool:
    """Tell whether OpenRouter itself does not accept the key."""
    return isinstance(error, AuthenticationError)


def _announce(text: str, url: str | None = None, *, in_jupyter: bool = False) -> None:
    """Print a text, and a URL on a line of its own; in a notebook as a link."""
    if in_jupyter and url:
        from IPython.display import display  # noqa: PLC0415 - a kernel has it

        link = f'<a href="{escape(url)}" target="_blank" rel="noreferrer">OpenRouter</a>'
        shown: dict[str, Any] = {
            "text/plain": f"{text}\n{url}",
            "text/html": f"{escape(text.removesuffix(' OpenRouter at'))} {link}",
        }
        display(shown, raw=True)  # type: ignore[no-untyped-call]
        return
    print(text if url is None else f"{text}\n{url}", flush=True)  # noqa: T201 - the user must see it
