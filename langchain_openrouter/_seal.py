"""Encryption with a secret of the user's: Fernet, the first secret seals, any opens."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, TypeAlias

from pydantic import SecretStr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.fernet import MultiFernet

Secret: TypeAlias = str | bytes | SecretStr
_SHORTEST = 16  # bytes


def cipher(secret: Secret | Sequence[Secret], purpose: str) -> MultiFernet:
    """Return the cipher of a secret, or of several: the newest first, then the retired ones.

    Each purpose has keys of its own, so that a token sealed for one opens for no other.

    Raises:
        ValueError: A secret is shorter than 16 bytes.
    """
    from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - only who seals pays
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    given = [secret] if isinstance(secret, str | bytes | SecretStr) else list(secret)
    keys = []
    for one in given:
        plain = one.get_secret_value() if isinstance(one, SecretStr) else one
        raw = plain.encode() if isinstance(plain, str) else plain
        if len(raw) < _SHORTEST:
            msg = "the secret must have 16 bytes or more: `secrets.token_urlsafe(32)` makes one"
            raise ValueError(msg)
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(raw)
        keys.append(Fernet(base64.urlsafe_b64encode(derived)))
    if not keys:
        msg = "pass a secret: `secrets.token_urlsafe(32)` makes one"
        raise ValueError(msg)
    return MultiFernet(keys)
