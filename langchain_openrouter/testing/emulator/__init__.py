"""OpenRouter on loopback: a real HTTP server that answers as recordings of the live service do."""

from __future__ import annotations

from langchain_openrouter.testing.emulator._error_replies import ERRORS, error
from langchain_openrouter.testing.emulator._replies import Call, Fault, Reply
from langchain_openrouter.testing.emulator._server import Asked, Emulator

__all__ = ["ERRORS", "Asked", "Call", "Emulator", "Fault", "Reply", "error"]
