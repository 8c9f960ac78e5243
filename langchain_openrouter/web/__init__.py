"""Sign visitors of a web app in, and give each route the visitor's own model (extra `web`).

`python -m langchain_openrouter.web` runs an example: a chat page on the emulator.
"""

from __future__ import annotations

from langchain_openrouter.key_store._redis import RedisStore
from langchain_openrouter.web.sign_in import Event, SignIn, Visitor
from langchain_openrouter.web.streams import events_response

__all__ = ["Event", "RedisStore", "SignIn", "Visitor", "events_response"]
