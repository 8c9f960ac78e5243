"""`accounts.workspaces`: parts of the account with keys and guardrails of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from langchain_openrouter.accounts._calls import (
    Call,
    build_body,
    build_changes,
    confirm_deleted,
    parse_row,
    parse_rows,
    path_segment,
)
from langchain_openrouter.accounts._fields import WorkspaceChanges, WorkspaceFields
from langchain_openrouter.accounts._listing import AsyncListing, Listing, Pages
from langchain_openrouter.accounts._policy_types import Workspace, WorkspaceBudget

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from langchain_openrouter.accounts._calls import Sender
    from langchain_openrouter.accounts._rows import Rows

__all__ = ["Workspaces"]

_PAGE_SIZE = 100
Interval: TypeAlias = Literal["daily", "weekly", "monthly", "lifetime"]


class Workspaces:
    """Creates and changes workspaces. Get it as `Accounts().workspaces`.

    See https://openrouter.ai/docs/guides/features/workspaces.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def create(self, name: str, slug: str, **fields: Unpack[WorkspaceFields]) -> Workspace:
        """Create a workspace; the request is repeated only as that of `keys.create` is.

        Args:
            name: Its name.
            slug: Lower case, words joined by single hyphens.
            **fields: See `WorkspaceFields`.

        Raises:
            ValueError: A field is unknown; nothing was sent.
        """
        return self._sender.send(_create(name, slug, fields))

    async def acreate(self, name: str, slug: str, **fields: Unpack[WorkspaceFields]) -> Workspace:
        """Create like `create`."""
        return await self._sender.asend(_create(name, slug, fields))

    def list(self, *, offset: int = 0, page_size: int = _PAGE_SIZE) -> Listing[Workspace]:
        """Return the workspaces; pages are read as they are needed.

        Args:
            offset: How many workspaces to skip.
            page_size: Workspaces in one response, 1 to 100.
        """
        return Listing(self._sender, _pages(offset, page_size))

    def alist(self, *, offset: int = 0, page_size: int = _PAGE_SIZE) -> AsyncListing[Workspace]:
        """Return like `list`, for `async for`."""
        return AsyncListing(self._sender, _pages(offset, page_size))

    def get(self, workspace: str | Workspace) -> Workspace:
        """Return a workspace.

        Args:
            workspace: Its id or slug.

        Raises:
            NotFoundError: There is none.
        """
        return self._sender.send(Call("get", _path(workspace), _parse_workspace))

    async def aget(self, workspace: str | Workspace) -> Workspace:
        """Return like `get`."""
        return await self._sender.asend(Call("get", _path(workspace), _parse_workspace))

    def update(self, workspace: str | Workspace, **fields: Unpack[WorkspaceChanges]) -> Workspace:
        """Change a workspace.

        Args:
            workspace: Its id or slug.
            **fields: See `WorkspaceChanges`; None clears a field.

        Raises:
            NotFoundError: There is none.
            ValueError: There is nothing to change, or a field is unknown.
        """
        return self._sender.send(_update(workspace, fields))

    async def aupdate(
        self, workspace: str | Workspace, **fields: Unpack[WorkspaceChanges]
    ) -> Workspace:
        """Change like `update`."""
        return await self._sender.asend(_update(workspace, fields))

    def delete(self, workspace: str | Workspace, *, confirm_default: bool = False) -> None:
        """Delete a workspace.

        Args:
            workspace: Its id or slug.
            confirm_default: Required to delete the default workspace, which disables for good the
                keys of the account that belong to no other.

        Raises:
            NotFoundError: There is none.
            UpstreamError: The service did not confirm it.
        """
        self._sender.send(_delete(workspace, confirm_default=confirm_default))

    async def adelete(self, workspace: str | Workspace, *, confirm_default: bool = False) -> None:
        """Delete like `delete`."""
        await self._sender.asend(_delete(workspace, confirm_default=confirm_default))

    # --- budgets --------------------------------------------------------------------------

    def budgets(self, workspace: str | Workspace) -> Rows[WorkspaceBudget]:
        """Return what the keys of a workspace may spend together.

        Raises:
            NotFoundError: There is no such workspace.
        """
        return self._sender.send(_list_budgets(workspace))

    async def abudgets(self, workspace: str | Workspace) -> Rows[WorkspaceBudget]:
        """Return like `budgets`."""
        return await self._sender.asend(_list_budgets(workspace))

    def set_budget(
        self,
        workspace: str | Workspace,
        limit_usd: float,
        interval: Interval,
        *,
        include_byok: bool | None = None,
    ) -> WorkspaceBudget:
        """Set what the keys of a workspace may spend together in an interval.

        Args:
            workspace: Its id or slug.
            limit_usd: More than 0.
            interval: "daily", "weekly", "monthly", or "lifetime", which never resets. Each has a
                budget of its own.
            include_byok: Whether what is spent with providers' keys of one's own counts, in all
                budgets of the workspace; None leaves that as it is.

        Raises:
            NotFoundError: There is no such workspace.
            ValueError: The limit or the interval is not valid.
        """
        return self._sender.send(_set_budget(workspace, limit_usd, interval, include_byok))

    async def aset_budget(
        self,
        workspace: str | Workspace,
        limit_usd: float,
        interval: Interval,
        *,
        include_byok: bool | None = None,
    ) -> WorkspaceBudget:
        """Set like `set_budget`."""
        return await self._sender.asend(_set_budget(workspace, limit_usd, interval, include_byok))

    def delete_budget(self, workspace: str | Workspace, interval: Interval) -> None:
        """Remove a budget of a workspace; there may be none.

        Raises:
            NotFoundError: There is no such workspace.
            UpstreamError: The service did not confirm it.
        """
        self._sender.send(_delete_budget(workspace, interval))

    async def adelete_budget(self, workspace: str | Workspace, interval: Interval) -> None:
        """Remove like `delete_budget`."""
        await self._sender.asend(_delete_budget(workspace, interval))


_parse_workspace = parse_row(Workspace.from_api, "id")
_parse_budget = parse_row(WorkspaceBudget.from_api, "id")


def _path(workspace: str | Workspace) -> str:
    id_ = workspace.id if isinstance(workspace, Workspace) else workspace
    return f"/workspaces/{path_segment(id_, 'the id of a workspace')}"


def _create(name: str, slug: str, fields: Mapping[str, Any]) -> Call[Workspace]:
    body = {"name": name, "slug": slug, **build_body(fields, WorkspaceFields)}
    return Call("post", "/workspaces", _parse_workspace, body=body, is_repeatable=False)


def _update(workspace: str | Workspace, fields: Mapping[str, Any]) -> Call[Workspace]:
    body = build_changes(fields, WorkspaceChanges)
    return Call("patch", _path(workspace), _parse_workspace, body=body)


def _delete(workspace: str | Workspace, *, confirm_default: bool) -> Call[None]:
    query = {"confirm_default_workspace_deletion": True} if confirm_default else None
    return Call("delete", _path(workspace), confirm_deleted, query=query)


def _pages(offset: int, page_size: int) -> Pages[Workspace]:
    return Pages("/workspaces", Workspace.from_api, {}, offset, page_size)


def _list_budgets(workspace: str | Workspace) -> Call[Rows[WorkspaceBudget]]:
    parse = parse_rows(WorkspaceBudget.from_api)
    return Call("get", f"{_path(workspace)}/budgets", parse)


def _set_budget(
    workspace: str | Workspace,
    limit_usd: float,
    interval: Interval,
    include_byok: bool | None,  # noqa: FBT001 - the caller's own keyword
) -> Call[WorkspaceBudget]:
    if not limit_usd > 0:
        msg = "`limit_usd` must be more than 0: without a budget nothing is limited"
        raise ValueError(msg)

    body: dict[str, Any] = {"limit_usd": limit_usd}
    if include_byok is not None:
        body["include_byok_in_budgets"] = include_byok
    return Call("put", _budget_path(workspace, interval), _parse_budget, body=body)


def _delete_budget(workspace: str | Workspace, interval: Interval) -> Call[None]:
    return Call("delete", _budget_path(workspace, interval), confirm_deleted)


def _budget_path(workspace: str | Workspace, interval: Interval) -> str:
    if interval not in get_args(Interval):
        msg = f"`interval` must be one of {', '.join(get_args(Interval))}"
        raise ValueError(msg)
    return f"{_path(workspace)}/budgets/{interval}"
