"""Each app of `examples/web` in Chromium, on an emulator: a visitor signs in and chats."""

from __future__ import annotations

import sys

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from langchain_openrouter.testing import Call, Reply
from tests.support.chat_page import people, shot
from tests.support.example_apps import EXAMPLES, environment, example_app

pytestmark = pytest.mark.timeout(900)
FRAMEWORKS = ["streamlit", "gradio", "chainlit"]


def approve(page, user="user_ann"):
    """Click on OpenRouter's page."""
    page.locator("input[name=emulated_user]").fill(user)
    page.get_by_role("button", name="Approve").click()


def test_each_example_is_tested():
    """By name."""
    apps = {path.stem for path in EXAMPLES.glob("*_app.py")}
    assert apps == {f"{name}_app" for name in (*FRAMEWORKS, "fastapi")}


def test_fastapi(emulate, browser, tmp_path):
    """An agent by server-sent events; a WebSocket, refused to strangers and to other sites."""
    emulator = emulate([Reply("Let me see.\n", tool_calls=[Call("get_weather", {"city": "Paris"})]), "Sunny.", "By socket."], any_key=False)  # fmt: skip
    with example_app(sys.executable, "fastapi_app", emulator, tmp_path) as url:
        with people(browser, url) as make:
            page = make()
            page.get_by_role("link", name="Sign in with OpenRouter").click()
            approve(page)
            page.get_by_label("Question").fill("How is the weather in Paris?")
            page.keyboard.press("Enter")
            page.get_by_text("$0.0").wait_for()
            shot(page, "fastapi")
            text = page.locator("#answer").inner_text()
            assert text.startswith('Let me see.\nget_weather({"city":"Paris"})\nIt is sunny in Paris.\nSunny.\n$0.0')  # fmt: skip
            said = page.evaluate("""() => new Promise((resolve, reject) => {
                const socket = new WebSocket(`ws://${location.host}/chat`);
                let text = "";
                socket.onopen = () => socket.send("Hi");
                socket.onerror = reject;
                socket.onmessage = ({data}) => { text += data; if (text.endsWith("socket.")) resolve(text); };
            })""")
            assert said == "By socket."
            cookies = "; ".join(f"{c['name']}={c['value']}" for c in page.context.cookies(url))
            assert not [text for text in page.complaints if "404" not in text]
        for headers, origin in [({}, url), ({"Cookie": cookies}, "http://evil.example")]:
            with pytest.raises(InvalidStatus, match="403"):
                connect(f"{url.replace('http', 'ws')}/chat", origin=origin, additional_headers=headers, proxy=None)  # fmt: skip
    users = {emulator.accounts.keys[request.key].user_id for request in emulator.chats}
    assert users == {"user_ann"}
    assert len(emulator.chats) == 3


class Page:
    """How a person uses the page of a framework."""

    path, link = "/", "Sign in with OpenRouter"

    def __init__(self, page):
        self.page = page

    def ask(self, text):
        """Type a message and send it."""
        box = self.page.get_by_role("textbox").last
        box.click()
        box.press_sequentially(text)
        box.press("Enter")


class Chainlit(Page):
    """At a path of its own."""

    path = "/chat"


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_framework(emulate, browser, tmp_path, framework):
    """Two people sign in and chat at once, each on their own key; a stranger cannot."""
    python = environment(framework)
    emulator = emulate(lambda request: f"You are **{request.body['user']}** number {len(request.body['messages'])}.", any_key=False)  # fmt: skip
    kind = Chainlit if framework == "chainlit" else Page
    with (
        example_app(python, f"{framework}_app", emulator, tmp_path) as url,
        people(browser, url + kind.path) as make,
    ):
        persons = [kind(make()) for _ in range(2)]
        for person, user in zip(persons, ("user_ann", "user_bob"), strict=True):
            link = person.page.get_by_role("link", name=kind.link).first
            link.wait_for(timeout=60_000)
            link.evaluate("link => { link.target = '_self'; }")
            link.click()
            approve(person.page, user)
            person.page.get_by_text(f"Signed in as {user}").first.wait_for(timeout=60_000)
        for number in (1, 3):
            for person, user in zip(persons, ("user_ann", "user_bob"), strict=True):
                person.ask(f"question {number}")
                answer = person.page.get_by_text(f"number {number}.").last
                answer.wait_for(timeout=60_000)
                assert f"You are {user} number {number}." in answer.inner_text()
                shot(person.page, f"{framework}-{user}-{number}")
    for request in emulator.chats:
        assert emulator.accounts.keys[request.key].user_id == request.body["user"]
    assert len(emulator.chats) >= 4
