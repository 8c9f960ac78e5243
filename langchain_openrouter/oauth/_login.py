"""Sign in with OpenRouter: `PKCELogin` -> `UserKey`, and `login()`, which adds the browser.

Needs neither the model nor the OpenAI SDK. Keys are kept in memory only, unless `remember=` says
where. See https://openrouter.ai/docs/use-cases/oauth-pkce.
"""

from __future__ import annotations

import asyncio
import threading
import warnings
import webbrowser
from concurrent.futures import Future
from html import escape
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias, TypedDict, Unpack

from langchain_openrouter.errors import (
    AuthenticationError,
    InvalidCodeError,
    ListenerError,
    OpenRouterError,
    SignInDeniedError,
    SignInError,
    SignInRefusedError,
    SignInTimeoutError,
)
from langchain_openrouter.oauth import _headless
from langchain_openrouter.oauth._loopback_server import Listener, Verdict
from langchain_openrouter.oauth._pkce import PKCELogin
from langchain_openrouter.oauth._prompt import Asking, has_terminal, prompt_in_notebook
from langchain_openrouter.oauth._user_key import KeyInfo, UserKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from langchain_openrouter.settings import OpenRouterSettings

__all__ = ["KeyInfo", "KeyStoreProtocol", "PKCELogin", "UserKey", "alogin", "login", "logout"]

Mode: TypeAlias = Literal["auto", "loopback", "headless"]
_TIMEOUT = 300.0
_TRIES = 5


class KeyStoreProtocol(Protocol):
    """What `remember=` takes: `key_store.KeyStore` is one."""

    def get(self, user_id: str) -> UserKey | None:
        """Return the key kept under this name, None without one."""

    def set(self, user_id: str, key: UserKey) -> None:
        """Keep a key."""

    def delete(self, user_id: str) -> None:
        """Forget a key."""

    async def aget(self, user_id: str) -> UserKey | None:
        """Return like `get`."""

    async def aset(self, user_id: str, key: UserKey) -> None:
        """Keep like `set`."""

    async def adelete(self, user_id: str) -> None:
        """Forget like `delete`."""


class LoginOptions(TypedDict, total=False):
    """The keywords of `login` and `alogin`."""

    mode: Mode
    """"loopback" listens on 127.0.0.1 for the browser; "headless" shows a code to paste; "auto"
    takes headless over SSH, in containers, Codespaces, Colab, any Jupyter kernel, and where no
    browser is."""
    open_browser: bool | Callable[[str], object]
    """True opens the system's; False only shows the address; a callable is given it."""
    prompt: Callable[[str], str] | None
    """Asks for the code, given a text; None asks unseen at the terminal or in the notebook."""
    timeout: float | None
    """Seconds until nobody's answer is an error; 300 by default, None waits for ever."""
    remember: KeyStoreProtocol | None
    """Where the key is kept, and taken from while OpenRouter accepts it; None: in memory only."""
    remember_as: str
    """The name it is kept under; "default"."""
    key_label: str | None
    limit: float | None
    usage_limit_type: str | None
    expires_at: datetime | str | None
    workspace_id: str | None
    settings: OpenRouterSettings | None
    base_url: str | None


def login(**words: Unpack[LoginOptions]) -> UserKey:
    """Sign a user in and return the user's own key.

    The address of the page is shown on a line of its own, and opened in a browser. With a
    listener, a code or an address can be pasted at the terminal too; whichever is first wins.

    Args:
        **words: See `LoginOptions`, and `PKCELogin.start` for what the page may be told.

    Raises:
        SignInError: One of its kinds. The port is free again, however it ends.
        ValueError: An argument does not fit.
    """
    keep = _Keep(words)
    if keep.store is not None:
        kept = keep.fit(keep.store.get(keep.name))
        if kept is not None:
            if not _refused(_told(kept)):
                return kept
            keep.store.delete(keep.name)
    with _Attempt(words) as attempt:
        attempt.begin()
        attempt.browse()
        key = _given(attempt.wait())
    if keep.store is not None:
        try:
            keep.store.set(keep.name, key)
        except Exception as error:  # noqa: BLE001 - the key must not be lost with it
            keep.warn(error)
    return key


async def alogin(**words: Unpack[LoginOptions]) -> UserKey:
    """Sign in like `login`; the event loop runs on. Cancelling frees the port."""
    keep = _Keep(words)
    if keep.store is not None:
        kept = keep.fit(await keep.store.aget(keep.name))
        if kept is not None:
            if not _refused(await asyncio.to_thread(_told, kept)):
                return kept
            await keep.store.adelete(keep.name)
    with _Attempt(words) as attempt:
        attempt.begin()
        await asyncio.to_thread(attempt.browse)
        key = _given(await attempt.await_())
    if keep.store is not None:
        try:
            await keep.store.aset(keep.name, key)
        except Exception as error:  # noqa: BLE001 - the key must not be lost with it
            keep.warn(error)
    return key


def logout(remember: KeyStoreProtocol, remember_as: str = "default") -> str | None:
    """Forget a key that `login(remember=...)` kept, and say where it can be revoked.

    The key itself still works: OpenRouter lets nobody but its owner delete it, on that page.

    Returns:
        The address of the page; None where no key was kept.
    """
    try:
        key = remember.get(remember_as)
    finally:  # one that cannot be read is forgotten all the same
        remember.delete(remember_as)
    if key is None:
        _say("Nobody was signed in here.")
        return None
    _say("Forgotten here, but not revoked: the key works until you delete it at", key.settings_url)
    return key.settings_url


class _Keep:
    """Where the key is kept, and under which name."""

    def __init__(self, words: LoginOptions) -> None:
        self.store = words.get("remember")
        self.name = words.get("remember_as", "default")
        self._base_url = None
        if self.store is not None:  # a key of another service is not the one that is asked for
            self._base_url = PKCELogin.start(
                settings=words.get("settings"), base_url=words.get("base_url")
            ).base_url

    def fit(self, key: UserKey | None) -> UserKey | None:
        return key if key is not None and key.base_url == self._base_url else None

    @staticmethod
    def warn(error: Exception) -> None:
        msg = f"signed in, but the key could not be kept ({type(error).__name__}): {error}"
        warnings.warn(msg, RuntimeWarning, stacklevel=3)


class _Attempt:
    """One sign-in under way: a listener, a prompt, and whichever comes first."""

    def __init__(self, words: LoginOptions) -> None:
        self._timeout = words.get("timeout", _TIMEOUT)
        self._opener = words.get("open_browser", True)
        self._prompt = words.get("prompt")
        self._kernel = _headless.in_jupyter()
        self._outcome: Future[UserKey | SignInError] = Future()
        self._turn = threading.Lock()
        self._tries = _TRIES
        self._asking: Asking | None = None
        self._listener = self._listen(words.get("mode", "auto"))
        callback = f"http://127.0.0.1:{self._listener.port}/callback" if self._listener else None
        try:
            self._login = PKCELogin.start(
                callback,
                words.get("key_label"),
                words.get("limit"),
                usage_limit_type=words.get("usage_limit_type"),
                expires_at=words.get("expires_at"),
                workspace_id=words.get("workspace_id"),
                settings=words.get("settings"),
                base_url=words.get("base_url"),
            )
        except ValueError:
            self.close()
            raise

    def _listen(self, mode: Mode) -> Listener | None:
        """Bind before the address is made; the system chooses the port."""
        if mode not in {"auto", "loopback", "headless"}:
            msg = f'mode must be "auto", "loopback" or "headless", not {mode!r}'
            raise ValueError(msg)
        browser = None if self._opener is True else True
        if mode == "headless" or (mode == "auto" and _headless.reason(browser=browser)):
            return None
        try:
            return Listener(self._outcome)
        except OSError as error:
            if mode == "auto":
                return None
            msg = f'no port of 127.0.0.1 can be bound ({error.strerror}) - use mode="headless"'
            raise ListenerError(msg) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the port and the terminal."""
        if self._listener is not None:
            self._listener.close()
        if self._asking is not None:
            self._asking.cancel()

    def begin(self) -> None:
        """Listen, show the address, and ask."""
        if self._listener is not None:
            path = f"/callback/{self._login.nonce}"
            self._listener.start(path, self._called_back)
        _say("Sign in with OpenRouter at", self._login.url, kernel=self._kernel)
        if self._kernel and self._listener is None:
            self._answered(prompt_in_notebook(self._prompt))
        elif self._listener is None or self._prompt is not None or has_terminal():
            self._asking = Asking(self._prompt, self._answered, self._failed)

    def browse(self) -> None:
        """Open the page; whoever cannot still has the address."""
        if self._opener is False or self._outcome.done():
            return
        if self._opener is True:
            if self._listener is not None or _headless.reason() is None:
                webbrowser.open(self._login.url)
            return
        self._opener(self._login.url)

    def wait(self) -> UserKey | SignInError:
        """Wait until one side wins, or the time is over."""
        try:
            return self._outcome.result(self._timeout)
        except TimeoutError:
            return self._too_late()

    async def await_(self) -> UserKey | SignInError:
        """Wait like `wait`."""
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.wrap_future(self._outcome)
        except TimeoutError:
            return self._too_late()

    def _too_late(self) -> SignInTimeoutError:
        return SignInTimeoutError(
            f"nobody signed in within {self._timeout:g} s - begin anew, or raise `timeout=`"
        )

    # --- what comes back ------------------------------------------------------------------

    def _settled(self, pasted: str) -> UserKey | SignInError:
        """Exchange, and see that the key works: OpenRouter's no counts, a bad network does not."""
        try:
            outcome = self._login.settle(pasted)
        except Exception as error:  # noqa: BLE001 - nobody waits in vain, and no frame shows a code
            return SignInError(
                f"the exchange failed unexpectedly ({type(error).__name__}) - begin a new sign-in"
            )
        if isinstance(outcome, UserKey) and _refused(_told(outcome)):
            return SignInRefusedError(
                "OpenRouter does not accept the key that it gave - begin a new sign-in", code=401
            )
        return outcome

    def _called_back(self, target: str) -> Verdict:
        """Return what the browser is told: the exchange is over by then."""
        with self._turn:
            outcome = self._settled(f"http://127.0.0.1{target}")
        if _unspent(outcome):
            return Verdict(400, "This is not the sign-in", escape(str(outcome)))
        if isinstance(outcome, UserKey):
            text = "You may close this tab and go back to your program."
            return Verdict(200, "You are signed in", text, outcome)
        if isinstance(outcome, SignInDeniedError):
            return Verdict(
                200, "You are not signed in", "You said no, and no key was made.", outcome
            )
        return Verdict(502, "The sign-in failed", escape(str(outcome)), outcome)

    def _answered(self, pasted: str | None) -> bool:
        """Settle what was pasted; tell whether to ask again."""
        if self._outcome.done():
            return False
        with self._turn:
            outcome = self._settled(pasted or "")
        self._tries -= 1
        if _unspent(outcome):
            again = pasted is not None and self._prompt is None and not self._kernel
            if again and self._tries and (has_terminal() or self._listener):
                _say(str(outcome))
                return True
            if self._listener is not None and not (pasted or "").strip():
                return False  # nothing was pasted: the browser may still come
        if not self._outcome.done():
            self._outcome.set_result(outcome)
        return False

    def _failed(self, error: Exception) -> None:
        if not self._outcome.done():
            self._outcome.set_exception(error)


def _unspent(outcome: UserKey | SignInError) -> bool:
    """Tell whether nothing was exchanged, so that the right code may still come."""
    return isinstance(outcome, InvalidCodeError) and outcome.code is None


def _given(outcome: UserKey | SignInError) -> UserKey:
    if isinstance(outcome, SignInError):
        raise outcome
    return outcome


def _told(key: UserKey) -> OpenRouterError | None:
    """Ask OpenRouter about a key; return the error as a value."""
    try:
        key.info()
    except OpenRouterError as error:
        return error
    except Exception:  # noqa: BLE001 - an answer that cannot be read is no refusal
        return None
    return None


def _refused(error: OpenRouterError | None) -> bool:
    """Tell whether OpenRouter itself does not accept the key."""
    return isinstance(error, AuthenticationError)


def _say(text: str, url: str | None = None, *, kernel: bool = False) -> None:
    """Show a text, and an address on a line of its own; in a notebook as a link."""
    if kernel and url:
        from IPython.display import display  # noqa: PLC0415 - a kernel has it

        link = f'<a href="{escape(url)}" target="_blank" rel="noreferrer">OpenRouter</a>'
        shown: dict[str, Any] = {
            "text/plain": f"{text}\n{url}",
            "text/html": f"{escape(text.removesuffix(' OpenRouter at'))} {link}",
        }
        display(shown, raw=True)  # type: ignore[no-untyped-call]
        return
    print(text if url is None else f"{text}\n{url}", flush=True)  # noqa: T201 - the user must see it
