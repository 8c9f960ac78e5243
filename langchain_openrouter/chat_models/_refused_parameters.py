"""What a model refuses in a request: relaxed where the caller agreed, else warned about.

See https://openrouter.ai/docs/features/tool-calling and
https://openrouter.ai/docs/cookbook/evaluate-and-optimize/model-migrations/claude-5-5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_openrouter._http.error_mapping import error_from_response, redact_error
from langchain_openrouter._json import get_dict, get_dicts, get_str, parse_json_or_text
from langchain_openrouter._model_profiles import profile_or_empty
from langchain_openrouter._model_refusals import is_refusal, learn_from_error, refuses, warn_once
from langchain_openrouter._redaction import prompt_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_openrouter._http.transport import ApiResponse

RELAX = "relax_tool_choice"
"""An argument of a call: True sends a forced tool as "auto", with a line in the prompt that names
it; "if_refused" does so for a model that refuses forcing; without it the choice is sent as is."""

_CHECKED = frozenset(
    ["temperature", "top_p", "top_k", "reasoning", "reasoning_effort", "tool_choice"]
)
_DEFAULTS = {"temperature": 1, "top_p": 1, "top_k": 0}  # values that every model accepts
_MAX_NAMES = 20  # tools that the line in the prompt names


def adapt_payload(payload: dict[str, Any], relax: Any, base_url: str) -> dict[str, Any]:
    """Return the body with its tool choice relaxed, if it has to be; warn about the rest.

    Args:
        payload: The body.
        relax: The value of `RELAX`.
        base_url: The service that the request goes to.
    """
    slug = payload.get("model")
    if _CHECKED.isdisjoint(payload) or not isinstance(slug, str):
        return payload

    if is_forced(payload.get("tool_choice")):
        if relax is True:
            payload = relax_tool_choice(payload)
        elif relax and refuses(slug, "forced_tool", base_url=base_url):
            payload = _relax_with_warning(payload, slug)
        elif loses_reasoning_if_forced(slug, payload):
            warn_once(
                slug,
                "forced reasoning",
                f"{slug} does not reason while a tool is forced, although `reasoning` is set: use "
                "tool_choice='auto', or with_structured_output() with its default method",
            )

    _warn_of_parameters(slug, payload)
    return payload


def relax_refused_choice(
    response: ApiResponse, payload: dict[str, Any], relax: Any, base_url: str
) -> dict[str, Any] | None:
    """Return the body to send instead, if the response refuses the forced tool; else None.

    The refusal is remembered for the model at that service.

    Args:
        response: The response to `payload`.
        payload: The body that was sent.
        relax: The value of `RELAX`.
        base_url: The service that the request went to.
    """
    slug = payload.get("model")
    if not response.is_error or not is_forced(payload.get("tool_choice")):
        return None

    error = error_from_response(
        parse_json_or_text(response.body), status=response.status, failure=response.failure
    )
    prompt = prompt_text(payload.get("messages"))
    redact_error(error, prompt=prompt, key=response.key)
    if not isinstance(slug, str) or not is_refusal(error, "forced_tool", prompt=prompt):
        return None
    learn_from_error(error, "forced_tool", payload, base_url=base_url, prompt=prompt)
    return _relax_with_warning(payload, slug) if relax else None


def _relax_with_warning(payload: dict[str, Any], slug: str) -> dict[str, Any]:
    warn_once(
        slug,
        "relaxed",
        f"{slug} refuses a forced tool: tool_choice is sent as 'auto', with a line in the prompt "
        "that names the tools; the model may answer in text. Pass tool_choice='auto' to choose so",
    )
    return relax_tool_choice(payload)


def is_forced(choice: Any) -> bool:
    """Tell whether a tool choice forces the model to call a function."""
    if isinstance(choice, dict):
        return choice.get("type") in {"function", "tool", "any"}
    return choice in {"required", "any"}


def relax_tool_choice(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body whose forced tool is named in the prompt instead."""
    choice = payload.get("tool_choice")
    name = get_str(get_dict(choice, "function"), "name")
    names = [name] if name else _tool_names(payload)
    line = "Answer by calling a tool, not in text."
    if 0 < len(names) <= _MAX_NAMES:
        line = f"Answer by calling the tool {' or '.join(names)}, not in text."

    messages = _with_instruction(payload.get("messages") or [], line)
    last = messages[-1]
    if last.get("role") == "assistant" and not last.get("tool_calls"):
        # An agent asks again after an answer in text; models that refuse forcing refuse a prefill.
        messages = [*messages, {"role": "user", "content": line}]
    return {**payload, "tool_choice": "auto", "messages": messages}


def _tool_names(payload: Mapping[str, Any]) -> list[str]:
    functions = [get_dict(tool, "function") for tool in get_dicts(payload, "tools")]
    return [name for function in functions if (name := get_str(function, "name"))]


def _with_instruction(messages: list[dict[str, Any]], line: str) -> list[dict[str, Any]]:
    """Return the messages with a line at the end of the first system message, or as one.

    There it is the same in every turn, as prompt caching needs.
    """
    first = messages[0] if messages else {}
    if first.get("role") not in {"system", "developer"}:
        return [{"role": "system", "content": line}, *messages]

    content = first.get("content")
    if isinstance(content, list):
        extended: Any = [*content, {"type": "text", "text": line}]
    else:
        extended = f"{content}\n\n{line}" if content else line
    return [{**first, "content": extended}, *messages[1:]]


# --- reasoning and sampling -------------------------------------------------------------------


def reasons(params: Mapping[str, Any]) -> bool:
    """Tell whether a request asks for reasoning."""
    reasoning = params.get("reasoning")
    effort = get_str(reasoning, "effort") or params.get("reasoning_effort")
    return bool(reasoning or effort) and not _disables_reasoning(params)


def loses_reasoning_if_forced(slug: str, params: Mapping[str, Any]) -> bool:
    """Tell whether forcing a tool would lose the reasoning: with Anthropic's models.

    OpenRouter drops `reasoning` silently then, as Anthropic does not take both.
    """
    return slug.lstrip("~").startswith("anthropic/") and reasons(params)


def _disables_reasoning(params: Mapping[str, Any]) -> bool:
    reasoning = get_dict(params, "reasoning") or {}
    return (
        reasoning.get("enabled") is False
        or reasoning.get("effort") == "none"
        or params.get("reasoning_effort") == "none"
    )


def _warn_of_parameters(slug: str, payload: Mapping[str, Any]) -> None:
    """Warn about each parameter that the model is known to refuse, with the remedy."""
    profile = profile_or_empty(slug)
    levels = ", ".join(profile.get("reasoning_effort_levels") or ["low", "medium", "high"])
    if profile.get("reasoning_mandatory") and _disables_reasoning(payload):
        warn_once(
            slug,
            "reasoning",
            f"{slug} always reasons and refuses to have it disabled: leave `reasoning` out, or set "
            f"an effort ({levels}); reasoning={{'exclude': True}} only hides it",
        )

    for name in profile.get("refused_parameters") or ():
        if name == "reasoning.max_tokens":
            if (get_dict(payload, "reasoning") or {}).get("max_tokens") is not None:
                warn_once(slug, name, f"{slug} ignores `{name}`: set an effort ({levels})")
        elif payload.get(name) not in (None, _DEFAULTS.get(name)):
            warn_once(slug, name, f"{slug} does not support `{name}`: leave it out")
