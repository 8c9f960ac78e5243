"""The pages of the sign-in: one layout, a strict content security policy, all text escaped."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from starlette.responses import HTMLResponse

_STYLE = (
    ":root{color-scheme:light dark}body{font:1.05rem/1.55 system-ui,sans-serif;margin:15vh auto;"
    "max-width:34rem;padding:0 1rem}h1{font-size:1.5rem;line-height:1.3}"
    "a{color:light-dark(#3451b2,#9db2ff);margin-right:1rem}"
    "a:first-of-type{display:inline-block;padding:.6rem 1.1rem;border-radius:.5rem;"
    "text-decoration:none;background:light-dark(#3451b2,#9db2ff);color:light-dark(#fff,#000)}"
    "a:focus-visible{outline:2px solid;outline-offset:2px}"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_POLICY = (
    "default-src 'none'; style-src 'sha256-{}'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


POLICY = _POLICY.format(_hash(_STYLE))


def page(
    title: str, text: str, status: int = 200, *, link: tuple[str, str] | None = None
) -> HTMLResponse:
    """Return a page with a title, a text and links.

    Args:
        title: The heading.
        text: A paragraph.
        status: The HTTP status.
        link: URL and text of a link, before the one to the start.
    """
    links = [link] if link else []
    links.append(("/", "Back to the start"))
    anchors = " ".join(f'<a href="{escape(url)}">{escape(name)}</a>' for url, name in links)

    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<main><h1>{escape(title)}</h1><p>{escape(text)}</p><p>{anchors}</p></main></html>"
    )
    return HTMLResponse(body, status, headers={**HEADERS, "Content-Security-Policy": POLICY})
