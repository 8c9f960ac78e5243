"""A browser, as far as a sign-in goes: forms, redirects, favicons, connections nobody uses."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from html import unescape
from urllib.parse import urljoin, urlsplit

import httpx2


class Browser:
    """Opens the page it is given and clicks; keeps its cookies, and what it saw."""

    def __init__(
        self, decision: str | None = "approve", user: str = "user_ann", *, follow: bool = True
    ):
        self.decision = decision
        self.user = user
        self.follow = follow
        self.seen: list[httpx2.Response] = []
        self.opened: list[str] = []
        self._idle: list[socket.socket] = []

    def __call__(self, url: str) -> bool:
        """Open an address, as `webbrowser.open` would."""
        self.opened.append(url)
        if self.decision is not None:
            self.decide(url)
        return True

    def decide(self, url: str) -> str:
        """Read the page, submit its form, go where it leads; return the last address."""
        with httpx2.Client(follow_redirects=False, trust_env=False) as client:
            page = client.get(url)
            fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', page.text))
            fields = {name: unescape(value) for name, value in fields.items() if name != "decision"}
            fields.update(decision=self.decision, emulated_user=self.user)
            answer = client.post(urljoin(url, "/auth"), data=fields)
        self.seen.append(answer)
        target = answer.headers.get("location")
        if target is None:
            return url
        if self.follow:
            self.go(target)
        return target

    def go(self, target: str) -> httpx2.Response:
        """Load an address: a connection ahead of need, the page, its icon."""
        parts = urlsplit(target)
        self._idle.append(socket.create_connection((parts.hostname, parts.port), timeout=5))
        with httpx2.Client(trust_env=False, timeout=10) as client:
            page = client.get(target)
            self.seen.append(page)
            with suppress(httpx2.TransportError):  # the listener may be gone by then
                self.seen.append(client.get(urljoin(target, "/favicon.ico")))
        return page

    def code(self) -> str:
        """Return the code that the page shows."""
        return re.search(r'id="code">([^<]+)<', self.seen[-1].text)[1]

    def close(self) -> None:
        """Close the connections nobody used."""
        for idle in self._idle:
            idle.close()
