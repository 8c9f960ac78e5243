"""Markdown that nobody vouches for -> HTML that runs no script and fetches nothing.

Raw HTML is shown as text. A link leads to an absolute http(s) or mailto address, or is none. A
picture of a web address would be requested by the reader's browser: it becomes a link. Math is left
to Jupyter, which typesets it (`_math`).
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from langchain_openrouter._notebook._math import enable_math
from langchain_openrouter._redaction import printable

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

__all__ = ["external_link", "is_external", "markdown_html", "preformatted", "visible"]

_KEPT = "\n\t\u200c\u200d"  # line ends, tabs, and the joiners of emoji and several scripts
_LONGEST = 200_000  # characters; a longer text is shown as it is
_EXTERNAL = re.compile(r"(?:https?://[^\s/]|mailto:\S)", re.IGNORECASE)


def visible(text: str) -> str:
    """Return a text without control and bidirectional characters."""
    return printable(text, keep=_KEPT)


def preformatted(text: str) -> str:
    """Return a text as it is, with its line ends."""
    return f'<pre style="white-space:pre-wrap">{escape(visible(text))}</pre>'


def is_external(url: str) -> bool:
    """Tell whether an address is one of the web or of mail: no script, no path of this server."""
    return _EXTERNAL.match(url) is not None


def external_link(url: str, text: str) -> str:
    """Return a link that opens in a new tab; the text alone, where the address is none of the web.

    Args:
        url: The address, of anyone.
        text: What the link says, as text.
    """
    label = escape(visible(text))
    if not is_external(url):
        return label
    return f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer">{label}</a>'


def markdown_html(text: str) -> str:
    """Return Markdown as HTML; as plain text without markdown-it-py (extra `notebook`)."""
    parser = _parser()
    text = visible(text)
    if parser is None or len(text) > _LONGEST:
        return preformatted(text)
    return str(parser.render(text))


@cache
def _parser() -> Any:
    """Return the parser of Markdown, or None where markdown-it-py is missing."""
    try:
        from markdown_it import MarkdownIt  # noqa: PLC0415 - an extra
    except ImportError:
        return None

    parser = MarkdownIt("commonmark", {"html": False, "linkify": False})
    parser.enable(["table", "strikethrough"])
    parser.validateLink = is_external  # type: ignore[method-assign]
    parser.add_render_rule("link_open", _link_open)
    parser.add_render_rule("image", _image)
    enable_math(parser)
    return parser


def _link_open(
    renderer: Any, tokens: Sequence[Any], index: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    """Open links in a new tab, without a referrer."""
    del env
    token = tokens[index]
    token.attrSet("target", "_blank")
    token.attrSet("rel", "noopener noreferrer")
    return str(renderer.renderToken(tokens, index, options, {}))


def _image(
    renderer: Any, tokens: Sequence[Any], index: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    """Show the address of a picture as a link, which a person may follow."""
    del renderer, options, env
    url = str(tokens[index].attrGet("src") or "")
    return external_link(url, f"picture: {tokens[index].content or url}")
