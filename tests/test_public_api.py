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
ARCHITECTURE = Path(__file__).parents[1] / "ARCHITECTURE.md"
# Imported inside functions: an extra, or something slow that is rarely needed.
LAZY = {("web", "testing"): "the example runs on the emulator"}


def drawn():
    """Return the rooms of ARCHITECTURE.md in its order, and the modules that it names in each."""
    rooms = {}
    text = ARCHITECTURE.read_text(encoding="utf-8").split("    langchain_openrouter/\n")[1]
    for line in text.split("\n\n")[0].splitlines():
        indent, words = re.fullmatch(r"( *)(.*?)(?:  .*)?", line).groups()
        if len(indent) > 8:  # a description goes on
            continue
        names = [name.strip("/") for name in words.split(", ")]
        if len(indent) == 6:
            rooms |= {name: set() for name in names}
        else:
            rooms[list(rooms)[-1]].update(names)
    return rooms


def rooms():
    """Return each module with the room it is in, the first part of its path."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts != ("__init__",):
            yield path, parts[0]


def imported_rooms(path):
    """Return the rooms that a module imports at runtime, wherever in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only or not isinstance(node, ast.ImportFrom):
            continue
        name = node.module or ""
        if name == "langchain_openrouter":
            yield from (alias.name for alias in node.names)
        elif name.startswith("langchain_openrouter."):
            yield name.split(".")[1]


def test_every_name_is_exported_on_purpose():
    """`__all__`, the lazy table and `dir` agree, and each name imports."""
    names = set(langchain_openrouter.__all__)

    assert names == {*langchain_openrouter._HOMES, "__version__"}
    assert names <= set(dir(langchain_openrouter))
    assert all(getattr(langchain_openrouter, name) for name in names)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        langchain_openrouter.nothing  # noqa: B018 - the access is the test


def test_a_room_imports_only_from_those_below_it():
    """In the order of ARCHITECTURE.md, by folder, `testing` and `web` included."""
    homes = {name: home.split(".")[1] for name, home in langchain_openrouter._HOMES.items()}
    layers = list(drawn())
    assert {room for _, room in rooms()} == set(layers)
    for path, room in rooms():
        below = {*layers[layers.index(room) :], *(to for at, to in LAZY if at == room)}
        used = {homes.get(name, name) for name in imported_rooms(path)}
        assert used <= below, (path.name, used - below)


def test_every_module_is_in_the_architecture():
    """By name, in its room; the emulator and the cassettes are described as folders."""
    for room, named in drawn().items():
        folder = PACKAGE / room
        if folder.is_dir():
            modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
            folders = {path.name for path in folder.iterdir() if (path / "__init__.py").exists()}
            assert named - {"__main__"} == (modules | folders) - {"__main__"}, room


def test_no_module_imports_itself_in_a_circle():
    """Modules of one folder too: each is imported alone, in a fresh interpreter's order."""
    graph = {}
    for path, _ in rooms():
        name = ".".join(("langchain_openrouter", *path.relative_to(PACKAGE).with_suffix("").parts))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        graph[name] = {
            found
            for node in tree.body  # at the top of the module: what is lazy cannot be in a circle
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("langchain_openrouter")
            for alias in node.names
            for found in (node.module, f"{node.module}.{alias.name}")
        }  # fmt: skip

    def reach(name, seen):
        for other in graph.get(name, ()):
            if other in graph and not other.endswith("__init__") and other not in seen:
                seen.add(other)
                reach(other, seen)
        return seen

    circles = [
        name for name in graph if not name.endswith("__init__") and name in reach(name, set())
    ]
    assert not circles


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
    for path, room in rooms():
        if room not in {"testing", "_demo", "web"}:
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
    """A module past 470 lines is a sign of one; `wire` is a list, however long."""
    for path, room in rooms():
        if room != "wire":
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 470, path
