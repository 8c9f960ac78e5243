"""The two endpoints that answer a conversation, and what differs between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_openrouter.chat_models._parsing import unwrap_nested_body
from langchain_openrouter.chat_models._responses_events import ResponsesStreamState
from langchain_openrouter.chat_models._responses_parsing import to_chat_body
from langchain_openrouter.chat_models._responses_request import to_responses_body
from langchain_openrouter.chat_models._streaming import StreamState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_openrouter._http.transport import ApiResponse


class Endpoint(NamedTuple):
    """What differs; all else of a request and of its answer is the same code."""

    path: str
    to_body: Callable[[dict[str, Any]], dict[str, Any]]
    """The body of a chat request -> the body that is sent."""
    to_chat_body: Callable[[Any], Any]
    """The body of a response -> the body of a chat completion."""
    stream_state: type[StreamState]

    def new_state(
        self, response: ApiResponse, *, with_headers: bool = False, without_costs: bool = False
    ) -> StreamState:
        """Return the state of a streamed response before its first event.

        Args:
            response: Its headers have come.
            with_headers: Whether the final chunk's metadata has the response's headers.
            without_costs: Whether its `usage_metadata` has tokens only, see `counts_integers`.
        """
        state = self.stream_state(
            headers=response.headers if with_headers else None,
            generation_id=response.headers.get("x-generation-id"),
            without_costs=without_costs,
        )

        if response.call is not None:
            response.call.facts = state.facts
        return state


CHAT = Endpoint("/chat/completions", dict, unwrap_nested_body, StreamState)
RESPONSES = Endpoint("/responses", to_responses_body, to_chat_body, ResponsesStreamState)


def endpoint_for(call: Mapping[str, Any], default: object) -> Endpoint:
    """Return the endpoint of a call.

    Args:
        call: Its arguments.
        default: The model's `use_responses_api`.
    """
    choice = call.get("use_responses_api")
    return RESPONSES if (default if choice is None else choice) else CHAT
