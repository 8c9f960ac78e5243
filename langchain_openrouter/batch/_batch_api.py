"""`OpenRouterBatches`: the requests of the Batch API.

See https://openrouter.ai/docs/batch-quickstart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from langchain_openrouter._http import transport
from langchain_openrouter._http.urls import key_hash
from langchain_openrouter._json import get_list
from langchain_openrouter._resource import APIResource
from langchain_openrouter.batch._batch_values import BatchPage, RemoteBatch, is_batch_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

__all__ = ["OpenRouterBatches"]

_PATH = "/batches"
_MAX_PAGE = 100
_FINGERPRINT_DIGITS = 16


class OpenRouterBatches(APIResource):
    """The batches of a key's workspace: to create, list, read and delete them one by one.

    `submit`, `wait` and `collect` do so for rows of any number. All keys of a workspace see the
    same batches.

    Example:
        ```python
        from langchain_openrouter.batch import OpenRouterBatches

        for batch in OpenRouterBatches().list_batches():
            print(batch.id, batch.status, batch.counts.completed, batch.cost)
        ```
    """

    def create(self, body: bytes) -> RemoteBatch:
        """Create a batch. It is sent once: a repetition would be a second batch.

        Args:
            body: The JSON of the request, `requests` last.

        Raises:
            OpenRouterError: It was refused, or it is not known whether it was accepted: after a
                `ConnectionFailedError` and an `UpstreamError` it may have been.
        """
        return self._to_batch(self._send(self._creation(body), is_error=is_batch_error))

    async def acreate(self, body: bytes) -> RemoteBatch:
        """Create like `create`."""
        return self._to_batch(await self._asend(self._creation(body), is_error=is_batch_error))

    def get(self, batch_id: str) -> RemoteBatch:
        """Return a batch; once it is completed, with its results.

        Raises:
            ModelUnavailableError: The workspace has no such batch; a new one may be unknown for
                some seconds.
        """
        return self._to_batch(self._send(self._item(batch_id), is_error=is_batch_error))

    async def aget(self, batch_id: str) -> RemoteBatch:
        """Return like `get`."""
        return self._to_batch(await self._asend(self._item(batch_id), is_error=is_batch_error))

    def list_batches(self, **filters: Any) -> BatchPage:
        """Return a page of batches, the newest first, without results.

        Args:
            **filters: Query parameters of the API: `limit` (up to 100), `after` (the `last_id` of
                the page before), `status` (one, or a list), `created_after` and `created_before`
                (Unix times in seconds).
        """
        return BatchPage.from_api(self._send(self._list(filters), is_error=_is_no_list))

    async def alist_batches(self, **filters: Any) -> BatchPage:
        """Return like `list_batches`."""
        return BatchPage.from_api(await self._asend(self._list(filters), is_error=_is_no_list))

    def delete(self, batch_id: str) -> None:
        """Delete a batch that has ended, with its requests and results. This cancels nothing.

        Raises:
            InvalidRequestError: It has not ended.
            ModelUnavailableError: There is no such batch.
        """
        self._send(self._item(batch_id, "delete"))

    async def adelete(self, batch_id: str) -> None:
        """Delete like `delete`."""
        await self._asend(self._item(batch_id, "delete"))

    def key_fingerprint(self) -> str:
        """Return the first digits of the sha256 of the key that a request would have now."""
        request = self._build_request(_PATH)
        return _fingerprint(transport.resolve_key(request.api_key, request.base_url))

    async def akey_fingerprint(self) -> str:
        """Return like `key_fingerprint`."""
        request = self._build_request(_PATH)
        return _fingerprint(await transport.aresolve_key(request.api_key, request.base_url))

    def _creation(self, body: bytes) -> transport.Request:
        request = self._build_request(_PATH)
        return request._replace(method="post", body=body, max_retries=0)

    def _item(self, batch_id: str, method: str = "get") -> transport.Request:
        return self._build_request(f"{_PATH}/{_quoted(batch_id)}")._replace(method=method)

    def _list(self, filters: Mapping[str, Any]) -> transport.Request:
        query = {"limit": _MAX_PAGE, **filters}
        statuses: Any = query.get("status")
        if isinstance(statuses, list | tuple | set | frozenset):
            query["status"] = list(statuses)
        present = {name: value for name, value in query.items() if value is not None}
        return self._build_request(_PATH, query=present)

    @staticmethod
    def _to_batch(body: Mapping[str, Any]) -> RemoteBatch:
        return RemoteBatch.from_api(body)


def _fingerprint(key: SecretStr) -> str:
    return key_hash(key.get_secret_value())[:_FINGERPRINT_DIGITS]


def _is_no_list(body: Any) -> bool:
    return get_list(body, "data") is None


def _quoted(batch_id: str) -> str:
    """Return an id encoded for a URL's path.

    Raises:
        ValueError: It is no id, and could lead to another endpoint.
    """
    if not batch_id.strip() or batch_id.strip() in {".", ".."}:
        msg = f"{batch_id!r} is no id of a batch"
        raise ValueError(msg)
    return quote(batch_id, safe="")
