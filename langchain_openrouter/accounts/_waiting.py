"""Waiting for a key that another process makes, or another thread or task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_openrouter import errors
from langchain_openrouter.accounts import _steps
from langchain_openrouter.errors import KeyStoreError, UpstreamError

if TYPE_CHECKING:
    from langchain_openrouter.accounts._provision_record import ProvisionRecord
    from langchain_openrouter.accounts._steps import Flow

__all__ = ["Waiting"]

_PAUSES = (0.02, 0.05, 0.1, 0.2)  # seconds; the last is repeated


class Waiting:
    """Waits for the claims of others.

    Args:
        lease: Seconds that a claim holds.
    """

    def __init__(self, lease: float) -> None:
        self._left = 2 * lease + 5.0
        self._pauses = list(_PAUSES)
        self._nonces: set[str] = set()

    def wait(self, record: ProvisionRecord) -> Flow[None]:
        """Wait a moment for a claim.

        Raises:
            KeyStoreError: It has been too long.
        """
        if record.claim is not None:
            self._nonces.add(record.claim.nonce)
        seconds = self._pauses.pop(0) if len(self._pauses) > 1 else self._pauses[0]
        self._left -= seconds
        if self._left < 0:
            msg = "another process is making this user's key, and takes too long: try again"
            raise KeyStoreError(msg, is_retryable=True)

        yield _steps.pause(seconds)

    def check(self, record: ProvisionRecord) -> None:
        """Raise what ended the claim that was waited for.

        Raises:
            OpenRouterError: It failed.
        """
        failure = record.failure
        if failure is not None and failure.nonce in self._nonces:
            kind = getattr(errors, failure.error, UpstreamError)
            raise kind(failure.message, code=failure.code)
