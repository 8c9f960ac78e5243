"""Names of provisioned keys in the account: by them the keys of lost creations are recognized.

A name is `prefix/store/user/nonce`: the app's prefix, the id of the store that the key was made
for, a digest that stands for the user, and the nonce of the claim under which it was made. It shows
nobody who the user is; the key's `external_user` does, as far as the app lets it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import NamedTuple

__all__ = ["KeyName", "check_prefix", "new_nonce"]

MAX_PREFIX = 40  # characters
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")
_TAIL = re.compile(r"/([0-9a-f]{12})/([0-9a-f]{16})/([0-9a-f]{16})")


class KeyName(NamedTuple):
    """The parts of a name, without the prefix."""

    store_id: str
    user_tag: str
    nonce: str

    @classmethod
    def parse(cls, name: str | None, prefix: str) -> KeyName | None:
        """Return the parts of a name; None if it is not one of this prefix."""
        if name is None or not name.startswith(prefix):
            return None
        match = _TAIL.fullmatch(name, len(prefix))
        return None if match is None else cls(*match.groups())

    def format(self, prefix: str) -> str:
        """Return the name."""
        return "/".join((prefix, *self))


def check_prefix(prefix: str) -> str:
    """Return the prefix of an app's names.

    Raises:
        ValueError: It is empty, longer than 40 characters, or has characters that names do not.
    """
    if len(prefix) > MAX_PREFIX or _PREFIX.fullmatch(prefix) is None:
        msg = f"`name_prefix` is 1 to {MAX_PREFIX} letters, digits, spaces, dots, `-` and `_`"
        raise ValueError(msg)
    return prefix


def new_nonce() -> str:
    """Return the nonce of a claim."""
    return secrets.token_hex(8)


def user_tag(store_id: str, entry: str) -> str:
    """Return the digest that stands for a user in names.

    Args:
        store_id: The id of the store.
        entry: The name of the user's entry in the store.
    """
    return hashlib.sha256(f"{store_id}\n{entry}".encode()).hexdigest()[:16]
