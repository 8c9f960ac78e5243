"""The emulator's sign-in pages, which a person, or a browser in a test, clicks through."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{title}</title>
<style>:root{{color-scheme:light dark}}body{{font:1.1rem/1.5 system-ui;margin:10vh auto;
max-width:34rem;padding:0 1rem}}button{{font:inherit;padding:.4rem 1rem;margin-right:.5rem}}
code{{font-size:1.1em;overflow-wrap:anywhere}}</style><h1>{title}</h1>"""


def consent(parameters: Mapping[str, str]) -> str:
    """Return the page with a form to approve, to deny, or to wait.

    Args:
        parameters: The query of the sign-in URL; the form sends it back.
    """
    label = escape(parameters.get("key_label") or "an app on this machine")
    limit = escape(parameters.get("limit") or "none")
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in parameters.items()
    )

    return _HEAD.format(title="OpenRouter, emulated") + (
        f"<p><b>{label}</b> asks for a key of yours. Limit: {limit}.</p>"
        f'<form method="post" action="/auth">{hidden}'
        '<p><label>You are <input name="emulated_user" value="user_emulated"></label></p>'
        '<button name="decision" value="approve">Approve</button>'
        '<button name="decision" value="deny">Deny</button>'
        '<button name="decision" value="wait">Wait</button></form>'
    )


def code_page(code: str) -> str:
    """Return the page that shows a code to paste."""
    return _HEAD.format(title="Your code") + (
        f"<p>Paste it where you came from; it works once, for ten minutes:</p>"
        f'<p><code id="code">{escape(code)}</code></p>'
    )


def note(title: str, text: str) -> str:
    """Return a page with a heading and a sentence."""
    return _HEAD.format(title=escape(title)) + f"<p>{escape(text)}</p>"
