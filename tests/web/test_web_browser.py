"""The example app in headless Chromium, two people at once, on worker processes and a real Redis."""

from __future__ import annotations

import os
import re
import shutil
from urllib.parse import urlsplit

import pytest

from tests.support.chat_page import ask, people, shot, sign_in
from tests.support.webapp import as_program, redis_server

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def site(emulate, tmp_path):
    """Run the example: two workers on Redis where there is one, else one worker."""
    emulator = emulate(lambda asked: f"You are {asked.body.get('user')}, and said: {asked.body['messages'][-1]['content']}",
                       any_key=False)  # fmt: skip
    if shutil.which("redis-server") is None and os.environ.get("CI"):
        pytest.fail("CI has a redis-server")
    with redis_server(tmp_path) as redis:
        words = ["--workers", "2", "--redis", redis] if redis else []
        with as_program(*words, OPENROUTER_BASE_URL=emulator.url) as (url, _):
            yield url, emulator


@pytest.fixture
def person(browser, site):
    """Make people."""
    with people(browser, site[0]) as make:
        yield make


def test_two_people_at_once(site, person):
    """Each sees their own answers, cost and account; one signs out and cannot go on."""
    _, emulator = site
    ann, bob = person(), person(viewport={"width": 390, "height": 780}, color_scheme="dark")
    shot(ann, "stranger")
    sign_in(ann, "user_ann")
    sign_in(bob, "user_bob")
    for page, user in ((ann, "user_ann"), (bob, "user_bob")):
        page.locator("#ask").wait_for()
        for n in range(3):
            answer = ask(page, f"message {n} of {user}")
            assert f"You are {user}, and said: message {n} of {user}" in answer.inner_text()
            assert re.search(r"OpenAI · openai/gpt-4o-mini · \$0\.0000\d+", answer.inner_text())
    shot(ann, "chat")
    shot(bob, "chat-phone-dark")
    ann_text, bob_text = ann.locator("#talk").inner_text(), bob.locator("#talk").inner_text()
    money = [page.locator("#money").inner_text() for page in (ann, bob)]

    assert "user_bob" not in ann_text
    assert "user_ann" not in bob_text
    assert all(re.match(r"\$0\.0\d+ here · no limit", text) for text in money)
    assert {emulator.accounts.keys[a.key].user_id == a.body["user"] for a in emulator.chats} == {
        True
    }
    assert ann.locator("#model option").count() >= 3
    ann.locator("#model").select_option("anthropic/claude-sonnet-4.6")
    assert "anthropic/claude-sonnet-4.6" in ask(ann, "another model").inner_text()

    ann.get_by_role("button", name="Sign out").click()
    ann.get_by_text("You are signed out").wait_for()
    shot(ann, "signed-out")
    assert (
        ann.get_by_role("link", name="Delete the key at OpenRouter")
        .get_attribute("href")
        .startswith(f"{emulator.site}/keys/")
    )
    ann.go_back()
    ann.get_by_role("link", name="Sign in with OpenRouter").wait_for()
    assert "user_bob" in ask(bob, "still here").inner_text()
    assert not [
        c for c in ann.complaints + bob.complaints if "Content Security" in c or "Error" in c
    ]


def test_a_denial_is_told_and_can_be_tried_again(site, person):
    """Why, and a link."""
    page = person()
    sign_in(page, "user_ann", "Deny")
    page.get_by_text("You said no").wait_for()
    shot(page, "denied")
    page.get_by_role("link", name="Try again").click()
    page.get_by_role("button", name="Approve").click()
    page.locator("#ask").wait_for()

    assert not site[1].chats


def test_the_back_button_and_a_reload_of_the_callback(site, person):
    """After the sign-in the callback's address leads home; going back and forth breaks nothing."""
    _, emulator = site
    page = person()
    callbacks = []
    page.on("request", lambda r: callbacks.append(r.url) if "/auth/callback/" in r.url else None)
    sign_in(page, "user_ann")
    page.locator("#ask").wait_for()
    page.goto(callbacks[0])
    page.locator("#ask").wait_for()
    page.go_back()
    page.go_forward()
    page.reload()
    page.locator("#ask").wait_for()

    assert urlsplit(page.url).path == "/"
    assert len(emulator.accounts.keys) == 1


def test_a_stolen_callback_in_another_browser(site, person):
    """It says that it is not yours, the thief stays a stranger, and its owner can still use it."""
    ann, thief = person(), person()
    ann.get_by_role("link", name="Sign in with OpenRouter").click()
    fields = ann.locator("form").evaluate("form => Object.fromEntries(new FormData(form))")
    fields |= {"decision": "approve", "emulated_user": "user_ann"}
    form = ann.locator("form").evaluate("form => form.action")
    stolen = ann.request.post(form, form=fields, max_redirects=0).headers["location"]

    thief.goto(stolen)
    thief.get_by_text("not yours").wait_for()
    shot(thief, "stolen")
    thief.goto(site[0])
    thief.get_by_role("link", name="Sign in with OpenRouter").wait_for()
    ann.goto(stolen)
    ann.locator("#ask").wait_for()


def test_a_long_answer_can_be_stopped_and_a_closed_tab_stops_it(site, person):
    """Upstream too."""
    from langchain_openrouter.testing import Reply

    _, emulator = site
    page = person()
    sign_in(page, "user_ann")
    page.locator("#ask").wait_for()
    emulator.script(lambda _: Reply("word " * 2000, pause=0.02))
    for how in ("stop", "close"):
        page.get_by_label("Your message").fill("go on")
        page.keyboard.press("Enter")
        page.locator("li.assistant", has_text="word word").last.wait_for()
        if how == "stop":
            page.get_by_role("button", name="Stop").click()
            page.get_by_role("button", name="Send").wait_for()
        else:
            page.close()
        assert emulator.chats[-1].gone.wait(15)


def test_a_failure_is_told_in_the_page_and_the_talk_goes_on(site, person):
    """An error in mid-answer after what came; a key's limit where there is one."""
    from langchain_openrouter.testing import Fault, Reply

    _, emulator = site
    page = person()
    sign_in(page, "user_ann")
    page.locator("#ask").wait_for()
    next(iter(emulator.accounts.keys.values())).limit = 5.0
    emulator.script([Reply("some words here", fault=Fault("cut", after=3)), Reply("on we go")])
    answer = ask(page, "one")
    shot(page, "cut")
    assert "cut short" in answer.inner_text()
    assert "error" in answer.get_attribute("class")
    assert "on we go" in ask(page, "two").inner_text()
    page.get_by_text("left").wait_for()
    assert re.search(r"here · \$\d\.\d\d\d* left", page.locator("#money").inner_text())
    assert [m["role"] for m in emulator.chats[-1].body["messages"]] == ["user", "assistant", "user"]
