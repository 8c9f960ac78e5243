"""Listings: all pages of a list, read as they are needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from langchain_openrouter._json import get_dicts, get_int
from langchain_openrouter.accounts._calls import Call, Sender
from langchain_openrouter.accounts._rows import Row, Rows
from langchain_openrouter.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

__all__ = ["AsyncListing", "Listing", "Pages"]

MAX_PAGE_SIZE = 100
_MAX_PAGES = 10_000

T = TypeVar("T", bound=Row)


@dataclass(frozen=True, slots=True)
class Pages(Generic[T]):
    """A list of the service, and how its rows are read.

    A list ends at a page that is empty or repeats what came before, and, where the service says how
    many rows there are, when all of them have come. A page that is merely short does not end it.
    """

    path: str
    from_api: Callable[[Mapping[str, Any]], T]
    query: Mapping[str, Any] = field(default_factory=dict)
    offset: int = 0
    """How many rows to skip."""
    page_size: int | None = None
    """None where the service has a size of its own."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: The service would refuse them.
        """
        if self.offset < 0:
            msg = "`offset` must not be negative"
            raise ValueError(msg)
        if self.page_size is not None and not 1 <= self.page_size <= MAX_PAGE_SIZE:
            msg = f"`page_size` must be 1 to {MAX_PAGE_SIZE}"
            raise ValueError(msg)


class _Progress(Generic[T]):
    """How far a listing has come: which page is next, and which rows of a page are new."""

    def __init__(self, pages: Pages[T]) -> None:
        self._pages = pages
        self._offset = pages.offset
        self._count = 0
        self._seen: set[str] = set()
        self.is_finished = False

    def next_page(self) -> Call[list[T]]:
        """Return the request for the next page.

        Raises:
            UpstreamError: There have been 10,000 pages.
        """
        self._count += 1
        if self._count > _MAX_PAGES:
            msg = f"the listing does not end: {_MAX_PAGES} pages were read"
            raise UpstreamError(msg, is_retryable=False)

        pages = self._pages
        query = {name: value for name, value in pages.query.items() if value is not None}
        if self._offset:
            query["offset"] = self._offset
        if pages.page_size is not None:
            query["limit"] = pages.page_size
        return Call("get", pages.path, self._take, query=query)

    def _take(self, body: dict[str, Any]) -> list[T]:
        """Return the rows of a page that are new.

        Raises:
            UpstreamError: The response is no page.
        """
        if not isinstance(body.get("data"), list):
            msg = "the service's answer cannot be read: it has no list `data`"
            raise UpstreamError(msg, is_retryable=False)

        values = [self._pages.from_api(row) for row in get_dicts(body, "data")]
        rows: list[T] = []
        for row in values:
            if row.identity and row.identity not in self._seen:
                self._seen.add(row.identity)
                rows.append(row)

        self._offset += len(values)
        total = get_int(body, "total_count")
        self.is_finished = not rows or (total is not None and self._offset >= total)
        return rows


class Listing(Generic[T]):
    """The rows of a list: iterating reads a page when it is needed, and begins anew each time.

    Do not delete rows while iterating: those behind move up, past the page that is read next. Read
    `all()` first.
    """

    def __init__(self, sender: Sender, pages: Pages[T]) -> None:
        self._sender, self._pages = sender, pages

    def __iter__(self) -> Iterator[T]:
        """Iterate over all rows.

        Raises:
            OpenRouterError: A page could not be read.
        """
        progress = _Progress(self._pages)
        while not progress.is_finished:
            yield from self._sender.send(progress.next_page())

    def all(self) -> Rows[T]:
        """Read all pages; the result is shown as a table in a notebook."""
        return Rows(self)

    def __repr__(self) -> str:
        """Say what it is; nothing is read."""
        return f"<listing of {self._pages.path}: iterate over it, or call .all()>"


class AsyncListing(Generic[T]):
    """The rows of a list like `Listing`, for `async for`."""

    def __init__(self, sender: Sender, pages: Pages[T]) -> None:
        self._sender, self._pages = sender, pages

    async def __aiter__(self) -> AsyncIterator[T]:
        """Iterate over all rows.

        Raises:
            OpenRouterError: A page could not be read.
        """
        progress = _Progress(self._pages)
        while not progress.is_finished:
            for row in await self._sender.asend(progress.next_page()):
                yield row

    async def all(self) -> Rows[T]:
        """Read all pages; the result is shown as a table in a notebook."""
        return Rows([row async for row in self])

    def __repr__(self) -> str:
        """Say what it is; nothing is read."""
        return f"<listing of {self._pages.path}: `async for` over it, or await .all()>"
