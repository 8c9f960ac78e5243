"""What IPython completes, with jedi and without."""

from __future__ import annotations

import atexit
import importlib
import inspect
import pkgutil

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

import langchain_openrouter
from langchain_openrouter import ChatOpenRouter, alogin, login
from langchain_openrouter.oauth import LoginOptions

IMPORTS = """
import langchain_openrouter
from langchain_openrouter import ChatOpenRouter, OpenRouterEmbeddings, login, testing
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A shell that has imported the package; jedi parses what it imports once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        started = InteractiveShell()
        atexit.unregister(started.atexit_operations)
        started.run_cell(IMPORTS)
        yield started
        started.atexit_operations()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("jedi", [True, False])
@pytest.mark.parametrize(
    ("text", "completion"),
    [
        ("login(key_s", "key_store="),
        ("login(mo", "mode="),
        ("testing.error_r", "error_reply"),
        ("testing.Emu", "Emulator"),
        ("langchain_openrouter.Chat", "ChatOpenRouter"),
        ("ChatOpenRouter(reasoning_e", "reasoning_effort="),
        ("ChatOpenRouter.login(key_s", "key_store="),
        ("OpenRouterEmbeddings(prog", "progress="),
    ],
)
def test_names_and_keywords_complete(shell, jedi, text, completion):
    """Names that are imported when first used, keywords of the sign-in, fields of the models."""
    if not jedi and ".login(" in text:
        pytest.skip("without jedi, IPython completes no keywords of a method")
    shell.Completer.use_jedi = jedi

    with provisionalcompleter():
        completions = [
            item.text.lstrip(".") for item in shell.Completer.completions(text, len(text))
        ]
    assert completion in completions


def test_login_has_the_signature_of_its_options():
    """Each is a keyword with its default; the model's own `login` has them too."""
    for function in (login, alogin):
        parameters = inspect.signature(function).parameters
        assert set(parameters) == set(LoginOptions.__annotations__)
        assert parameters["timeout"].default == 300.0

    own = {"timeout", "settings", "base_url"}
    for function in (ChatOpenRouter.login, ChatOpenRouter.alogin):
        parameters = inspect.signature(function).parameters
        assert {"model", "login_timeout", *LoginOptions.__annotations__} - own <= set(parameters)
        assert "cls" not in parameters


def test_each_package_lists_its_public_names():
    """`dir` has all of `__all__`, and each of them is there; others raise as modules do."""
    names = [
        item.name
        for item in pkgutil.iter_modules(langchain_openrouter.__path__, "langchain_openrouter.")
        if not item.name.split(".")[-1].startswith("_")
    ]

    for name in [*names, "langchain_openrouter.testing.emulator"]:
        module = importlib.import_module(name)
        public = getattr(module, "__all__", [])
        assert set(public) <= set(dir(module)), name
        assert all(hasattr(module, item) for item in public), name
        assert not hasattr(module, "nothing_of_this_name")
