"""Encrypt with a secret of the app: Fernet; the first secret encrypts, any decrypts."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, TypeAlias

from pydantic import SecretStr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.fernet import MultiFernet

Secret: TypeAlias = str | bytes | SecretStr
_MIN_LENGTH = 16  # bytes
_MIN_DISTINCT = 8  # bytes that differ; 16 random ones have fewer once in 10**11 times
_HOW_TO_MAKE = (
    '`python -c "import secrets; print(secrets.token_urlsafe(32))"` makes one; keep it in the '
    "environment or a secret manager, not in the code"
)
# Samples from this package's documentation, which everybody can read.
_PUBLISHED = frozenset(
    [
        b"32 random bytes, known to your servers alone",
        b"32 random bytes of your server's own",
    ]
)


def multi_fernet(secret: Secret | Sequence[Secret], purpose: str) -> MultiFernet:
    """Return the cipher of a secret, or of several.

    Args:
        secret: Of several, the first encrypts, and any decrypts.
        purpose: Each purpose has keys of its own, so that a token of one cannot be decrypted for
            another.

    Raises:
        ValueError: A secret is missing, too short, has too little variety, or is a sample of the
            documentation.
    """
    from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - an extra

    keys = derived_keys(secret, purpose)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])


def derived_keys(secret: Secret | Sequence[Secret], purpose: str) -> list[bytes]:
    """Return a key of 32 bytes for each secret, used for this purpose only.

    Raises:
        ValueError: As in `multi_fernet`.
    """
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415 - an extra

    secrets = [secret] if isinstance(secret, str | bytes | SecretStr) else list(secret)
    raw = [_to_bytes(value) for value in secrets]
    problems = [_weakness(value) for value in raw] or ["there is no secret"]

    if any(problems):
        msg = f"{next(filter(None, problems))}: {_HOW_TO_MAKE}"
        raise ValueError(msg)

    return [HKDF(SHA256(), 32, None, purpose.encode()).derive(value) for value in raw]


def missing_secret() -> ValueError:
    """Return the error for a store that needs a secret and has none."""
    return ValueError(f"pass a secret to encrypt the keys with: {_HOW_TO_MAKE}")


def sealed_at(token: str) -> int:
    """Return the time in a token, in seconds since 1970; 0 if it is not a token.

    The token is not verified: use this for sorting a browser's own cookies only.
    """
    try:
        head = base64.urlsafe_b64decode(token[:12].encode())
    except ValueError:
        return 0
    return int.from_bytes(head[1:9])  # https://github.com/fernet/spec: version, then the time


def _to_bytes(secret: Secret) -> bytes:
    plain = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
    # An environment variable that is not UTF-8 contains surrogates.
    return plain.encode("utf-8", "surrogatepass") if isinstance(plain, str) else bytes(plain)


def _weakness(raw: bytes) -> str | None:
    """Return what is wrong with a secret, None if nothing is."""
    text = raw.strip()

    if not text:
        return "the secret is blank"
    if len(raw) < _MIN_LENGTH:
        return "the secret must have 16 bytes or more"
    if len(set(text)) < _MIN_DISTINCT:
        return "the secret has too little variety and can be guessed"
    if text.lower() in _PUBLISHED:
        return "the secret is a sample that everybody can read in the documentation"
    return None
