"""`PerUserModel` runs an agent on the key of the current user."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from langchain.agents.middleware import AgentMiddleware
from langchain_core.runnables.config import var_child_runnable_config
from pydantic import SecretStr

from langchain_openrouter._current_user import acting, user_of_key
from langchain_openrouter._http.api_key import to_secret
from langchain_openrouter._langgraph import warn_if_key_in, warn_if_key_in_state
from langchain_openrouter._resource import APIResource
from langchain_openrouter.chat_models import ChatOpenRouter
from langchain_openrouter.errors import AuthenticationError
from langchain_openrouter.middleware._cost_limit import meter_factory
from langchain_openrouter.middleware._graph_channels import (
    add_costs_channel,
    add_user_channel,
    check_graph,
)
from langchain_openrouter.oauth._user_key import UserKey

if TYPE_CHECKING:
    from decimal import Decimal

    from langchain.agents.middleware import ModelRequest, ModelResponse, ToolCallRequest
    from langchain_core.messages import ToolMessage
    from langgraph.types import Command

    from langchain_openrouter._cost_meter import CostMeter
    from langchain_openrouter._http.run_key import User

__all__ = ["PerUserModel"]


_STORE = (
    "the agent's store embeds with OpenRouterEmbeddings: a store searches in threads and tasks "
    "that do not know the user, so the search would be charged to somebody else's account. "
    "Search with a retriever whose embeddings have `api_key=current_user`, or allow it with "
    "`PerUserModel(strict=False)`"
)


@runtime_checkable
class KeysOfUsers(Protocol):
    """Keys by user id: a `KeyStore`, or `accounts.ProvisionedKeys`."""

    def get(self, user_id: str, /) -> UserKey | None:
        """Return a user's key, None if there is none."""

    async def aget(self, user_id: str, /) -> UserKey | None:
        """Return like `get`."""


class PerUserModel(AgentMiddleware[Any, Any, Any]):
    """Run an agent on the key of the user that `context=` names.

    The key comes from `Runtime.context`, which is neither checkpointed nor traced. The operator's
    key is never used: without a key for the user, the call is an error.

    It covers the complete run, at any position in `middleware=`: the agent's model is replaced by
    the user's; every other ChatOpenRouter, embeddings, rerank or catalog that other middleware,
    tools and subagents call must use the user's key too. Create those with
    `api_key=current_user`, which is that key during the run. One with a key of its own is an
    error, unless `strict=False`. Models of other packages, and threads without a copy of the
    context (`threading.Thread`), are not checked.

    Args:
        keys: A `KeyStore`, `accounts.ProvisionedKeys`, or a sync or async callable that is called
            with the context and returns a `UserKey`, a key, or None.
        user_id: The attribute or key of the context that holds the user's id, or a callable that
            returns it. Used for a store of keys, and for `send_user`.
        send_user: Send the user's id as the field `user`: OpenRouter attributes abuse to that user
            only, and routes the user's prompts to a warm cache.
        strict: Whether a call on any other key, which the operator would pay for, is an error.
        max_cost: What each run may cost, in USD, subagents and tools included; see
            `callbacks.CostLimit`, one of which it may be instead: that counts all runs together.

    Raises:
        AuthenticationError: In the call: there is no key for the user, or a model of other
            middleware, of a tool or of a subagent has a key of its own.
        ValueError: In the call: the agent's model is no `ChatOpenRouter`, or the `UserKey` is
            for another service than the model's `base_url`.
        CostLimitError: In the call: the ceiling is reached.
        RuntimeError: In the call: this LangGraph does not let other middleware be checked.
    """

    def __init__(
        self,
        keys: KeysOfUsers | Callable[[Any], Any],
        *,
        user_id: str | Callable[[Any], str | None] = "user_id",
        send_user: bool = False,
        strict: bool = True,
        max_cost: float | Decimal | CostMeter | None = None,
    ) -> None:
        super().__init__()
        self._keys = keys
        self._user_id = user_id
        self._send_user = send_user
        self._strict = strict

        self.state_schema = add_user_channel(self, type(self).state_schema)
        if max_cost is not None:
            make_meter = meter_factory(max_cost)
            self.state_schema = add_costs_channel(make_meter, self.state_schema, of_user=True)

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Call the user's model, on the user's key."""
        self._check_run(request.runtime.store)
        warn_if_key_in_state(request.state)
        user = self.user_of(request.runtime.context)
        with acting(user):
            return handler(request.override(model=_model(request, user)))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Call the user's model, on the user's key."""
        self._check_run(request.runtime.store)
        warn_if_key_in_state(request.state)
        user = await self.auser_of(request.runtime.context)
        with acting(user):
            return await handler(request.override(model=_model(request, user)))

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Run the tool on the user's key."""
        self._check_run(request.runtime.store)
        with acting(self.user_of(request.runtime.context)):
            return handler(request)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """Run the tool on the user's key."""
        self._check_run(request.runtime.store)
        with acting(await self.auser_of(request.runtime.context)):
            return await handler(request)

    def _check_run(self, store: Any) -> None:
        """Check that every call of the run can be seen to be on the user's key.

        Raises:
            AuthenticationError: The agent's store embeds on a key of its own accord.
            RuntimeError: This LangGraph does not let other middleware be checked.
        """
        check_graph()
        if self._strict and isinstance(getattr(store, "embeddings", None), APIResource):
            raise AuthenticationError(_STORE)

    def user_of(self, context: Any) -> User:
        """Return the user that a run's context names.

        Raises:
            AuthenticationError: It names no user, or there is no key for the user.
        """
        _warn_if_key_in_config()
        if isinstance(self._keys, KeysOfUsers):
            return self._user(self._keys.get(self._id(context)), context)

        key = to_secret(self._keys(context))
        if inspect.isawaitable(key):
            if inspect.iscoroutine(key):
                key.close()
            msg = (
                "`keys` is an async callable: use ainvoke or astream, and middleware with async "
                "hooks"
            )
            raise AuthenticationError(msg)

        return self._user(key, context)

    async def auser_of(self, context: Any) -> User:
        """Return like `user_of`."""
        _warn_if_key_in_config()
        if isinstance(self._keys, KeysOfUsers):
            return self._user(await self._keys.aget(self._id(context)), context)
        key = to_secret(self._keys(context))
        if inspect.isawaitable(key):
            key = to_secret(await key)
        return self._user(key, context)

    def _user(self, key: Any, context: Any) -> User:
        if not isinstance(key, UserKey | SecretStr | str):
            key = None
        return user_of_key(key, user=self.sent_id(context), strict=self._strict)

    def sent_id(self, context: Any) -> str | None:
        """Return the id to send for the user; None unless `send_user`."""
        return self._id(context) if self._send_user else None

    def _id(self, context: Any) -> str:
        if callable(self._user_id):
            user_id = self._user_id(context)
        elif isinstance(context, Mapping):
            user_id = context.get(self._user_id)
        else:
            user_id = getattr(context, self._user_id, None)

        if not user_id or not isinstance(user_id, str):
            msg = "the agent's context names no user: pass `context=` with the user's id"
            raise AuthenticationError(msg)
        return user_id


def _model(request: ModelRequest[Any], user: User) -> ChatOpenRouter:
    """Return the agent's model on the user's key."""
    model = request.model
    if not isinstance(model, ChatOpenRouter):
        msg = (
            f"PerUserModel cannot put a user's key into a {type(model).__name__}: give the "
            "agent a ChatOpenRouter, or put PerUserModel last in `middleware=`"
        )
        raise ValueError(msg)  # noqa: TRY004 - the agent is misconfigured

    key: Any = user.key
    if user.base_url:
        key = UserKey(key, base_url=user.base_url)
    return model.for_user(key, user=user.user)


def _warn_if_key_in_config() -> None:
    """Warn of a key in the configuration or the metadata of the current run."""
    config = var_child_runnable_config.get()
    if config is not None:
        warn_if_key_in(config.get("configurable"), "config['configurable']")
        warn_if_key_in(config.get("metadata"), "config['metadata']")
