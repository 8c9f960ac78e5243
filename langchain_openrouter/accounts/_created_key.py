"""`CreatedKey`: a new key, whose plain text the service sends once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr

from langchain_openrouter import _html
from langchain_openrouter._json import get_dict, get_str
from langchain_openrouter._key_object import KeyObject
from langchain_openrouter._redaction import mask_key
from langchain_openrouter.accounts._key_types import KeyRecord
from langchain_openrouter.accounts._rows import format_cell
from langchain_openrouter.errors import UpstreamError
from langchain_openrouter.oauth._user_key import UserKey

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CreatedKey"]


@dataclass(frozen=True, slots=True)
class CreatedKey(KeyObject):
    """A key that was just created: store `key` now, the service does not send it again.

    The key is in no repr. `key.user_id` is the app's own id of the user, if there is one.
    """

    key: UserKey
    """Usable wherever a user's key is, at the service that created it."""
    record: KeyRecord
    """What the account knows of it."""

    @classmethod
    def from_api(cls, body: Mapping[str, Any], *, base_url: str, own: SecretStr | None) -> Self:
        """Convert a response of `POST /keys`.

        Args:
            body: The response.
            base_url: The API that it came from.
            own: A key of the app's own making, which the service does not send back.

        Raises:
            UpstreamError: It has no key: there is one all the same, which nobody can use.
        """
        row, text = get_dict(body, "data") or {}, get_str(body, "key")
        secret = own if text is None else SecretStr(text)
        del body, text
        if secret is None:
            hash_ = get_str(row, "hash")
            advice = "look for it by its name" if hash_ is None else f"delete {hash_[:64]}"
            msg = f"the service created a key and did not send it: {advice}"
            raise UpstreamError(msg, is_retryable=False)

        record = KeyRecord.from_api(mask_key(row, secret))
        return cls(UserKey(secret, record.external_user, base_url), record)

    @property
    def hash(self) -> str:
        """The sha256 of the key: what `accounts.keys` takes."""
        return self.record.hash or self.key.fingerprint

    def _repr_html_(self) -> str:
        """Return HTML for a notebook; the key is hidden."""
        cells = ((name, format_cell(value)) for name, value in self.record.cells().items())
        return _html.facts([("key", "**********"), *((name, text) for name, text in cells if text)])
