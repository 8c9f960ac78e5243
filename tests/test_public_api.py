"""The shape of the package: its names, its layers, what an import costs."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from langchain_core import exceptions as core

import langchain_openrouter
from langchain_openrouter import ChatOpenRouter, errors

PACKAGE = Path(langchain_openrouter.__file__).parent
LAYERS = [
    "wire", "_read", "_limits", "_redact", "_failures", "_frames", "_said", "_wait", "errors", "_links", "settings", "_keys", "_timeouts", "_private", "_plain", "_written", "_user_key", "_seal", "_atomic", "_file_store", "_profiles",
    "_pasted", "_pkce", "_place", "_prompt", "_loopback", "oauth", "_current_user", "_leak", "_sse", "_pool", "_transport", "_error_context", "_content", "_messages", "_tools",
    "_payload", "_binding",
    "_answer", "_blocks", "_calls", "_chunk", "_details", "_join", "_stream", "_result", "_structured",
    "_arguments", "_users", "chat_models", "_endpoint", "embeddings", "rerank", "_listed", "catalog", "key_store", "callbacks", "_graph", "middleware", "_demo", "_cli", "__main__",
]  # fmt: skip


def test_every_name_is_exported_on_purpose():
    """`__all__`, the lazy table and `dir` agree, and each name imports."""
    names = set(langchain_openrouter.__all__)

    assert names == {*langchain_openrouter._HOMES, "__version__"}
    assert names <= set(dir(langchain_openrouter))
    assert all(getattr(langchain_openrouter, name) for name in names)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        langchain_openrouter.nothing  # noqa: B018 - the access is the test


def test_a_module_imports_only_from_those_above_it():
    """The layers, from the wire up to the model."""
    assert {path.stem for path in PACKAGE.glob("*.py")} == {*LAYERS, "__init__"}
    for place, name in enumerate(LAYERS):
        tree = ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "langchain_openrouter"
            ):
                modules = [node.module.rpartition(".")[2]]
                if node.module == "langchain_openrouter":
                    modules = [alias.name for alias in node.names]
                allowed = {*LAYERS[:place], *({"testing"} if name == "_demo" else ())}
                assert set(modules) <= allowed, (name, modules)


def test_importing_the_package_imports_nothing_else():
    """Until a name is used; then the model's imports do not bring our tests' along."""
    code = (
        "import sys; before = set(sys.modules); import langchain_openrouter; "
        "print(*sorted({m.partition('.')[0] for m in set(sys.modules) - before}))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"langchain_core", "langchain_openai", "openai", "pydantic", "httpx2", "tiktoken"}

    assert not heavy & set(said.stdout.split())


def test_the_sign_in_brings_no_model_along():
    """`login` needs neither the OpenAI SDK nor LangChain's models; a key store is imported apart."""
    code = "import sys; from langchain_openrouter import login; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(said.stdout.split())

    assert not {"openai", "langchain_openai", "langchain_core.messages", "cryptography"} & modules
    assert not {"pydantic_settings", "starlette", "vcr", "IPython"} & modules


def test_the_testing_package_uses_the_layers_below_it():
    """And nothing of the package but tests uses it."""
    for path in set(PACKAGE.glob("*.py")) - {PACKAGE / "_demo.py"}:
        assert "langchain_openrouter.testing" not in path.read_text(encoding="utf-8"), path


def drawn_parents():
    """Return each drawn error with the one that it is drawn under."""
    stack, parents = [], {}
    for indent, name in re.findall(r"^([\s│├└─]*)(\w+Error)\b", errors.__doc__, re.MULTILINE):
        stack = [(depth, above) for depth, above in stack if depth < len(indent)]
        assert name not in parents
        parents[name] = stack[-1][1] if stack else None
        stack.append((len(indent), name))
    return parents


def test_the_tree_of_errors_is_drawn_as_it_is():
    """The module's docstring names every error, each once, directly under its parent."""
    classes = {
        name: value for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.OpenRouterError)
        and value.__name__ == name
    }  # fmt: skip
    parents = {
        name: next((base.__name__ for base in kind.__mro__[1:] if base in classes.values()), None)
        for name, kind in classes.items()
    }

    assert drawn_parents() == parents
    assert all(kind.__doc__ for kind in classes.values())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("InvalidRequestError", "ModelInvalidRequestError"), ("ContextOverflowError",) * 2,
     ("AuthenticationError", "ModelAuthenticationError"), ("InsufficientCreditsError", "ModelError"),
     ("PermissionDeniedError", "ModelPermissionDeniedError"),
     ("ModelUnavailableError", "ModelNotFoundError"), ("RateLimitError", "ModelRateLimitError"),
     ("RequestTimeoutError", "ModelTimeoutError"), ("RefusalError", "ModelRefusalError"),
     ("UpstreamError", "ModelAPIError"), ("ConnectionFailedError", "ModelConnectionError"),
     ("ConnectionTimeoutError", "ModelTimeoutError")],
)  # fmt: skip
def test_trap_23_each_error_is_langchains_of_its_kind(ours, theirs):
    """So that middleware which knows LangChain's errors knows ours."""
    # langchain-core before 1.7.5 has no ModelRefusalError
    kind, parent = getattr(errors, ours), getattr(core, theirs, core.ModelError)

    assert issubclass(kind, parent)
    assert kind("x").is_retryable is parent.is_retryable


HTTP_ERRORS = sorted(
    name for name, kind in vars(httpx2).items()
    if inspect.isclass(kind) and issubclass(kind, httpx2.HTTPError | httpx2.InvalidURL)
    and kind is not httpx2.HTTPStatusError  # raised by whoever asks for it; the SDK catches it
)  # fmt: skip


class Broken(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """A connection that fails in one way: before the headers, or in the middle of the body."""

    def __init__(self, name, *, in_body):
        self.error = getattr(httpx2, name)("broken")
        self.in_body = in_body

    def handle_request(self, request):
        """Fail."""
        if not self.in_body:
            raise self.error
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=self)

    async def handle_async_request(self, request):
        """Fail."""
        return self.handle_request(request)

    def __iter__(self):
        """Yield some, then fail."""
        yield b": OPENROUTER PROCESSING\n\n"
        raise self.error

    async def __aiter__(self):
        """Yield like `__iter__`."""
        for part in self:
            yield part

    def close(self):
        """Nothing is open."""

    async def aclose(self):
        """Nothing is open."""


class BrokenStream(Broken, httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """The same as a body."""


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
@pytest.mark.parametrize("in_body", [False, True], ids=["before", "in the body"])
@pytest.mark.parametrize("name", HTTP_ERRORS)
def test_every_exception_of_the_http_client_becomes_ours(name, in_body, how):
    """Each error httpx2 can raise, before the headers or in mid-stream, sync and async."""
    broken = BrokenStream(name, in_body=in_body)
    model = ChatOpenRouter(
        model="a/b", api_key="k", max_retries=0, http_client=httpx2.Client(transport=broken),
        http_async_client=httpx2.AsyncClient(transport=broken),
    )  # fmt: skip

    async def astream():
        return [chunk async for chunk in model.astream("x")]

    calls = {
        "invoke": lambda: model.invoke("x"),
        "stream": lambda: list(model.stream("x")),
        "ainvoke": lambda: asyncio.run(model.ainvoke("x")),
        "astream": lambda: asyncio.run(astream()),
    }

    with pytest.raises(errors.ConnectionFailedError, match=r"broken|no byte|did not accept"):
        calls[how]()


def test_no_module_grew_a_second_idea():
    """A module past 490 lines is a sign of one; `wire` is a list, however long."""
    for path in set(PACKAGE.glob("*.py")) - {PACKAGE / "wire.py"}:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 490, path
