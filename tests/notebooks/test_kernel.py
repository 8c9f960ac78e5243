"""The sign-in in a real Jupyter kernel: a link, a masked prompt, nothing secret in the outputs."""

from __future__ import annotations

import json
import re

import pytest
from jupyter_client.manager import start_new_kernel

from langchain_openrouter.testing import Reply, error_reply


@pytest.fixture
def kernel(monkeypatch, tmp_path):
    """Start a kernel and its client."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    manager, client = start_new_kernel(kernel_name="python3")
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


def run(client, code, answer=None):
    """Run a cell; return its outputs and what it asked for, which `answer(outputs)` answers."""
    outputs, asked = [], []

    def hear(message):
        outputs.append(message["content"])

    def stdin(message):
        asked.append(message["content"])
        while not any("text/html" in output.get("data", {}) for output in outputs):
            hear(client.get_iopub_msg(timeout=30))  # a channel of its own, which may be later
        client.input(answer(outputs))

    client.execute_interactive(
        code, allow_stdin=True, output_hook=hear, stdin_hook=stdin, timeout=60
    )
    return outputs, asked


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "call", ["key = login(base_url={url!r})", "key = await alogin(base_url={url!r})"]
)
def test_the_login_cell(emulate, browse, kernel, call):
    """Headless by itself; the code is asked for unseen; the key's display holds no key."""
    emulator, browser = emulate(any_key=False), browse()

    def answer(outputs):
        shown = json.dumps([output.get("data") for output in outputs])
        url = re.search(r"(http://127\S+?)[\\\"]", shown)[1]
        browser.decide(url)
        return browser.code()

    run(kernel, "from langchain_openrouter import alogin, login")
    outputs, asked = run(kernel, call.format(url=emulator.url), answer)
    links = [
        output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})
    ]
    assert asked[0]["password"] is True
    assert "Paste the code" in asked[0]["prompt"]
    assert 'target="_blank"' in links[0]
    display, _ = run(kernel, "key")
    info, _ = run(kernel, "key.info()")

    secret = next(iter(emulator.accounts.keys))
    everything = json.dumps([outputs, display, info], default=str)
    assert "user_ann" in everything
    assert "<table" in json.dumps(info, default=str)
    assert secret not in everything
    assert browser.code() not in everything


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_extension_in_a_kernel(emulate, kernel):
    """An answer as HTML and text, a bar that is one output, a short error that holds no key."""
    url = emulate([Reply("**Blue**"), error_reply("rate_limit")]).url
    secret = "sk-or-v1-0123456789abcdef"
    setup = (
        "%load_ext langchain_openrouter\n"
        "from langchain_openrouter import ChatOpenRouter, OpenRouterEmbeddings\n"
        f"options = dict(api_key={secret!r}, base_url={url!r}, max_retries=0)\n"
        "model = ChatOpenRouter(model='openai/gpt-4o-mini', **options)\n"
        "vectors = OpenRouterEmbeddings(model='a/b', chunk_size=1, **options)"
    )
    run(kernel, setup)

    answer, _ = run(kernel, "model.invoke('Why?')")
    shown = next(output["data"] for output in answer if "data" in output)
    assert "<strong>Blue</strong>" in shown["text/html"]
    assert shown["text/plain"].startswith("AIMessage(")

    bar, _ = run(kernel, "result = vectors.embed(['a', 'b', 'c'])")
    states = [output["data"]["text/html"] for output in bar if "data" in output]
    assert "0/3 inputs" in states[0]
    assert "3/3 inputs" in states[-1]
    assert len({output["transient"]["display_id"] for output in bar if "data" in output}) == 1

    failed, _ = run(kernel, "model.invoke('Why?')")
    error = next(output for output in failed if "traceback" in output)
    assert error["ename"] == "RateLimitError"
    assert len(error["traceback"]) < 12
    assert "model.invoke('Why?')" in "".join(error["traceback"])
    assert secret not in json.dumps([answer, bar, failed], default=str)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "call", ["login(base_url={url!r}, timeout=0.5)", "await alogin(base_url={url!r}, timeout=0.5)"]
)
def test_a_login_that_nobody_answers_ends_at_its_timeout(emulate, kernel, call):
    """With an error of the sign-in; the kernel runs the next cell, and no interrupt comes late."""
    emulator = emulate(any_key=False)
    run(kernel, "from langchain_openrouter import alogin, login")

    outputs, asked = [], []
    kernel.execute_interactive(
        call.format(url=emulator.url), allow_stdin=True, output_hook=lambda m: outputs.append(m["content"]),
        stdin_hook=asked.append, timeout=60,
    )  # fmt: skip
    after, _ = run(kernel, "import time; time.sleep(0.7); print('free')")
    errors = [output["evalue"] for output in outputs if "ename" in output]
    assert errors == ["nobody signed in within 0.5 s - begin anew, or raise `timeout=`"]
    assert len(asked) == 1
    assert {"name": "stdout", "text": "free\n"} in after


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("call", "error"), [("login", "KeyboardInterrupt"), ("await alogin", "CancelledError")]
)
def test_a_login_that_is_interrupted_is_not_a_timeout(kernel, emulate, call, error):
    """An interrupt by the person ends it; the kernel goes on, and the timer ends too."""
    emulator = emulate(any_key=False)
    run(kernel, "from langchain_openrouter import alogin, login")
    source = (
        "import _thread, threading; threading.Timer(0.5, _thread.interrupt_main).start()\n"
        f"{call}(base_url={emulator.url!r}, timeout=60)"
    )

    outputs = []
    kernel.execute_interactive(
        source, allow_stdin=True, output_hook=lambda m: outputs.append(m["content"]),
        stdin_hook=lambda m: None, timeout=60,
    )  # fmt: skip
    timers, _ = run(
        kernel, "print([t for t in threading.enumerate() if type(t) is threading.Timer])"
    )
    assert [output["ename"] for output in outputs if "ename" in output] == [error]
    assert {"name": "stdout", "text": "[]\n"} in timers
