"""What models refuse: known from profiles and endpoints, or learned from an error of this process.

Some models answer 400 to a `tool_choice` that forces a tool, and some have no endpoint for
`response_format`. What an error says is remembered for the slug at that service, so that it is met
once. What depends on the request or the account, and not on the model alone, is not remembered.
See https://openrouter.ai/docs/features/tool-calling.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_openrouter import _model_profiles
from langchain_openrouter._http.urls import BASE_URL
from langchain_openrouter._json import dump_json, get_dict
from langchain_openrouter._profile_cache import service_of
from langchain_openrouter._redaction import redact

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from langchain_openrouter.errors import OpenRouterError

Refusal: TypeAlias = Literal["forced_tool", "json_schema"]

_MAX_REMEMBERED = 1024  # entries of each memory; the oldest is dropped
_MAX_READ = 4_000  # characters of an error that are searched
_STATUSES = frozenset([400, 404])
_REFUSES = r"(?:not (?:be )?support|n't support|unsupported|not allowed|not available)"
_ACCOUNT = "no endpoints found that can handle the requested parameters"
_PATTERNS: dict[Refusal, re.Pattern[str]] = {
    # `tool_choice: type "tool" and "any" are not supported for this model.` (Anthropic, quoted in
    # JSON with backslashes), `deepseek-reasoner does not support this tool_choice`, `No endpoints
    # found that support the provided 'tool_choice' value.`
    "forced_tool": re.compile(
        rf"tool_choice.{{0,120}}?{_REFUSES}"
        rf"|(?:{_REFUSES}|no endpoints found that support).{{0,80}}?tool_choice",
        re.IGNORECASE | re.DOTALL,
    ),
    "json_schema": re.compile(
        rf"(?:response_format|json_schema|structured.outputs?).{{0,120}}?{_REFUSES}"
        rf"|(?:{_REFUSES}|no endpoints found that support).{{0,80}}?"
        r"(?:response_format|json_schema|structured.outputs?)"
        rf"|{_ACCOUNT}",
        re.IGNORECASE | re.DOTALL,
    ),
}
# Of a value of the request, such as the name of a tool: no refusal.
_INVALID_VALUE = re.compile(r"invalid value", re.IGNORECASE)
# A refusal of this one schema, or by what this account's settings exclude.
_ONE_REQUEST = re.compile(rf"invalid schema|\.schema|in context=|{_ACCOUNT}", re.IGNORECASE)
# Names that an account, or the router, resolves to one model or another.
_INDIRECT = ("@preset/", "openrouter/")
_ROUTING = ("provider", "models", "plugins", "preset")


class _Memory:
    """A bounded set that threads share."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Hashable, None] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, entry: Hashable) -> bool:
        """Add an entry; tell whether it is new."""
        with self._lock:
            is_new = entry not in self._entries
            self._entries[entry] = None
            self._entries.move_to_end(entry)
            if len(self._entries) > _MAX_REMEMBERED:
                self._entries.popitem(last=False)
        return is_new

    def discard(self, entry: Hashable) -> None:
        with self._lock:
            self._entries.pop(entry, None)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def __contains__(self, entry: Hashable) -> bool:
        with self._lock:
            return entry in self._entries


_learned, _warned = _Memory(), _Memory()


def refuses(
    slug: str,
    refusal: Refusal,
    profile: Mapping[str, Any] | None = None,
    *,
    base_url: str = BASE_URL,
) -> bool:
    """Tell whether a model is known to refuse something.

    Args:
        slug: The model.
        refusal: What.
        profile: The model's profile where it has its own; looked up by default.
        base_url: The service that the model is called at.
    """
    if (service_of(base_url), slug, refusal) in _learned:
        return True
    known = _model_profiles.profile_or_empty(slug) if profile is None else profile
    if refusal == "json_schema":
        return known.get("structured_output") is False
    return known.get("forced_tool_choice") is False or known.get("tool_choice") is False


def remember(slug: str, refusal: Refusal, *, base_url: str = BASE_URL) -> None:
    """Remember that a model refused something, for as long as the process runs."""
    _learned.add((service_of(base_url), slug, refusal))


def learn_from_error(
    error: OpenRouterError,
    refusal: Refusal,
    payload: Mapping[str, Any],
    *,
    base_url: str,
    prompt: str = "",
) -> None:
    """Remember what an error that `is_refusal` says of the model, if it is the model alone.

    Args:
        error: The error.
        refusal: What it refuses.
        payload: The body that was refused, or the fields of it that route the request.
        base_url: The service.
        prompt: The user's text, which an error may quote.
    """
    slug = payload.get("model")
    if not isinstance(slug, str) or slug.startswith(_INDIRECT):
        return
    if any(payload.get(name) for name in _ROUTING):  # what preferences exclude is not the model's
        return
    if not _ONE_REQUEST.search(_text_of(error, prompt)):
        remember(slug, refusal, base_url=base_url)


def learn_from_endpoints(
    slug: str, endpoints: Iterable[Mapping[str, Any]], *, base_url: str = BASE_URL
) -> None:
    """Remember whether any endpoint of a model takes a forced tool, where all of them say so."""
    choices = [get_dict(endpoint, "supports_tool_choice") for endpoint in endpoints]
    if not choices or None in choices:
        return

    takes = [
        choice
        for choice in choices
        if choice and (choice.get("required") or choice.get("function"))
    ]
    entry = (service_of(base_url), slug, "forced_tool")
    if takes:
        _learned.discard(entry)
    else:
        _learned.add(entry)


def is_refusal(error: OpenRouterError, refusal: Refusal, *, prompt: str = "") -> bool:
    """Tell whether an error says that the model, or all of its endpoints, refuse something.

    Args:
        error: The error.
        refusal: What.
        prompt: The user's text: what an error quotes of it is not read.
    """
    if error.code not in _STATUSES:
        return False
    text = _text_of(error, prompt)
    return _PATTERNS[refusal].search(text) is not None and not _INVALID_VALUE.search(text)


def _text_of(error: OpenRouterError, prompt: str) -> str:
    """Return what the service and the provider say, without what they quote of the prompt."""
    raw = error.metadata.get("raw")
    try:
        raw = raw if isinstance(raw, str) else dump_json(raw)
    except (TypeError, ValueError):
        raw = ""

    message, raw = (redact(text, prompt, limit=_MAX_READ) for text in (str(error), raw))
    return f"{message}\n{raw}"


def warn_once(slug: str, subject: str, message: str) -> None:
    """Warn about a model, once for each subject in this process."""
    if _warned.add((slug, subject)):
        warnings.warn(message, UserWarning, stacklevel=2)


def forget() -> None:
    """Forget what was learned and warned about, for tests."""
    _learned.clear()
    _warned.clear()
