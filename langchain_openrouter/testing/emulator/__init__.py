"""OpenRouter on loopback: a real HTTP server, whose responses have the live service's shapes."""

from __future__ import annotations

from langchain_openrouter._extras import naming_extra

with naming_extra("the emulator", "testing"):
    from langchain_openrouter.testing.emulator._error_replies import ERRORS, error, error_reply
    from langchain_openrouter.testing.emulator._replies import Call, Fault, Reply
    from langchain_openrouter.testing.emulator._script import ReceivedRequest
    from langchain_openrouter.testing.emulator._server import Emulator

Asked = ReceivedRequest  # the name in the first release

__all__ = [
    "ERRORS",
    "Asked",
    "Call",
    "Emulator",
    "Fault",
    "ReceivedRequest",
    "Reply",
    "error",
    "error_reply",
]
