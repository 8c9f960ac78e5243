"""The example's chat page in Chromium: people, and what they do."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

SHOTS = Path(os.environ.get("SCREENSHOTS") or ".pytest_cache/screenshots")


@contextmanager
def people(browser, url):
    """Make people, each with a browser of their own that reports what a page complains of."""
    made = []

    def make(**words):
        context = browser.new_context(**words)
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: page.complaints.append(str(e)))
        made.append(context)
        page.goto(url)
        return page

    SHOTS.mkdir(parents=True, exist_ok=True)
    yield make
    for context in made:
        context.close()


def sign_in(page, user, decision="Approve"):
    """Click through OpenRouter's page."""
    page.get_by_role("link", name="Sign in with OpenRouter").click()
    page.locator("input[name=emulated_user]").fill(user)
    page.get_by_role("button", name=decision).click()


def ask(page, text):
    """Type a message and send it by keyboard; return the answer's element."""
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")
    answer = page.locator("li.assistant").last
    answer.locator(".told").wait_for()
    return answer


def shot(page, name):
    """Keep a picture of a page."""
    page.screenshot(path=SHOTS / f"web-{name}.png")
