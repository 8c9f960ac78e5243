"""Sign in the visitors of a web app, and give each route the visitor's model (extra `web`).

`python -m langchain_openrouter.web` runs an example: a chat page on the emulator.
"""

from __future__ import annotations

from langchain_openrouter._extras import naming_extra
from langchain_openrouter.key_store._redis import RedisStore

with naming_extra("`langchain_openrouter.web`", "web"):
    from langchain_openrouter.web.sign_in import Event, EventKind, SignIn, Visitor
    from langchain_openrouter.web.streams import events_response, sse_response

__all__ = [
    "Event",
    "EventKind",
    "RedisStore",
    "SignIn",
    "Visitor",
    "events_response",
    "sse_response",
]
