"""Agents for many users: `PerUserModel` runs each call on the key of the user who asked.

Needs the extra `agents` (LangChain's `create_agent`).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware
from langgraph.config import get_config
from pydantic import SecretStr

from langchain_openrouter._leak import warn_of_keys
from langchain_openrouter._user_key import UserKey
from langchain_openrouter.chat_models import ChatOpenRouter
from langchain_openrouter.errors import AuthenticationError
from langchain_openrouter.key_store import KeyStore

if TYPE_CHECKING:
    from langchain.agents.middleware import ModelRequest, ModelResponse

__all__ = ["PerUserModel"]


class PerUserModel(AgentMiddleware[Any, Any, Any]):
    """Run the agent's model on the key of the user whom `context=` names.

    The key comes from `Runtime.context`, which is neither checkpointed nor traced. There is no
    way back to the operator's key: without one for the user, the call is an error. Put it last
    in `middleware=`, so that no other middleware replaces the model after it; what calls models
    of its own (a summary, a tool) is not covered.

    Args:
        keys: A `KeyStore`, or a callable, sync or async, that is given the context and returns
            a `UserKey`, a key, or None.
        user_id: Where the context has the user's id: the name of an attribute or key of it, or
            a callable. For a `KeyStore`, and for `send_user`.
        send_user: Send the user's id as the wire's `user`: OpenRouter keeps one user's abuse
            apart from the others', and routes a user's prompts to a warm cache.

    Raises:
        AuthenticationError: In the call: there is no key for the user.
        ValueError: In the call: the agent's model is no `ChatOpenRouter`.
    """

    def __init__(
        self,
        keys: KeyStore | Callable[[Any], Any],
        *,
        user_id: str | Callable[[Any], str | None] = "user_id",
        send_user: bool = False,
    ) -> None:
        super().__init__()
        self._keys = keys
        self._user_id = user_id
        self._send_user = send_user

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Call with the user's model."""
        # The key is bound to no name here: this frame is in the traceback of a failed call.
        return handler(request.override(model=self._model(request, self._key(request))))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Call with the user's model."""
        return await handler(
            request.override(model=self._model(request, await self._akey(request)))
        )

    def _key(self, request: ModelRequest[Any]) -> Any:
        context = _context_of(request)
        if isinstance(self._keys, KeyStore):
            return self._keys.get(self._id(context))
        key = self._keys(context)
        if inspect.isawaitable(key):
            if inspect.iscoroutine(key):
                key.close()
            msg = "`keys` is an async callable: use ainvoke or astream"
            raise AuthenticationError(msg)
        return key

    async def _akey(self, request: ModelRequest[Any]) -> Any:
        context = _context_of(request)
        if isinstance(self._keys, KeyStore):
            return await self._keys.aget(self._id(context))
        key = self._keys(context)
        return await key if inspect.isawaitable(key) else key

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

    def _model(self, request: ModelRequest[Any], key: Any) -> ChatOpenRouter:
        model = request.model
        if not isinstance(model, ChatOpenRouter):
            msg = (
                f"PerUserModel cannot put a user's key into a {type(model).__name__}: give the "
                "agent a ChatOpenRouter, and put PerUserModel last in `middleware=`"
            )
            raise ValueError(msg)  # noqa: TRY004 - what is wrong is how the agent was put together
        user = self._id(request.runtime.context) if self._send_user else None
        if not isinstance(key, UserKey | SecretStr | str):
            key = None
        return model.for_user(key, user=user)


def _context_of(request: ModelRequest[Any]) -> Any:
    config = get_config()
    warn_of_keys("config['configurable']", config.get("configurable"))
    warn_of_keys("config['metadata']", config.get("metadata"))
    return request.runtime.context
