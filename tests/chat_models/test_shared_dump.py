"""What tracers are told of a user's model is what core would say of it, and no key."""

from __future__ import annotations

import gc
import json
import pickle
import tracemalloc
from typing import Any

import pytest
from langchain_core.load.dump import dumpd

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter._shortcuts import shortcuts
from langchain_openrouter.chat_models import _shared_dump

KEY = "sk-or-v1-" + "a" * 64
OTHER = "sk-or-v1-" + "b" * 64


@pytest.fixture
def dumps(monkeypatch):
    """Count how often core serializes a model."""
    calls = []
    monkeypatch.setattr(_shared_dump, "dumpd", lambda model: calls.append(1) or dumpd(model))
    return calls


class Telling(ChatOpenRouter):
    """A model that tells more of itself."""

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """The user."""
        return {"of": self.user}


class Private(ChatOpenRouter):
    """A model that LangChain does not serialize."""

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return False."""
        return False


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("kind", [ChatOpenRouter, Telling, Private])
@pytest.mark.parametrize(
    "fields",
    [{}, {"api_key": KEY}, {"api_key": lambda: KEY}, {"api_key": KEY, "user": "u0"}, {"seed": 1}],
)
def test_dumps_are_those_of_core(monkeypatch, kind, fields, on):
    """However a copy comes about, its dump is core's."""
    monkeypatch.setattr(shortcuts, "enabled", on)
    base = kind(model="a/b", app_title="t", **fields)
    copies = [base]
    for number in range(2):
        copies += [
            base.for_user(KEY),
            base.for_user(OTHER, user="u1"),
            base.for_user(OTHER, user="u1").for_user(KEY),
            base.for_user(lambda: KEY, user="u2").for_user(KEY, user=""),
            base.for_user(KEY).model_copy(update={"model_name": "c/d"}),
            base.model_copy(update={"api_key": KEY, "temperature": 0.1}),
            base.model_copy(update={"user": "u3"}),
            base.model_copy(),
            base.model_copy(update={"api_key": None}),
            pickle.loads(pickle.dumps(kind(model="a/b").for_user(KEY)))
            if kind is ChatOpenRouter
            else base,
        ]
        changed = base.for_user(KEY)
        changed.temperature = 0.3 + number
        again = base.for_user(KEY)
        again.user = "late"
        copies += [changed, changed.for_user(OTHER), again]
        base.top_p = 0.5  # what was made of the base before is no longer right

    base.top_p = None
    for model in [*copies[1:], base.for_user(KEY)]:
        dump = model._serialized
        assert dump == dumpd(model)
        assert KEY not in json.dumps(dump)
        assert OTHER not in json.dumps(dump)


def test_users_share_one_dump(dumps, monkeypatch):
    """A thousand users cost one dump, and stay below 2.5 KiB after their first call."""
    monkeypatch.setattr(shortcuts, "enabled", True)
    base = ChatOpenRouter(model="a/b")
    base.for_user(KEY)
    keys = [f"sk-or-v1-{n:064d}" for n in range(1000)]
    gc.collect()
    tracemalloc.start()
    models = [base.for_user(key, user="u") for key in keys]
    for model in models:
        model._serialized  # noqa: B018 - as a call reads it
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert len(dumps) == 1
    assert size / len(models) < 2560
    assert models[0]._serialized["kwargs"]["user"] == "u"


def test_change_of_one_users_dump_is_in_no_others(monkeypatch):
    """A handler that notes something in what it is told notes it of one call."""
    monkeypatch.setattr(shortcuts, "enabled", True)
    base = ChatOpenRouter(model="a/b", api_key=KEY, trace={"a": "b"})
    for model in (base, base.for_user(KEY, user="u1"), base.for_user(OTHER)):
        dump = model._serialized
        dump["note"] = dump["kwargs"]["note"] = dump["kwargs"]["trace"]["note"] = "mine"
    for model in (base.for_user(OTHER, user="u2"), base.for_user(KEY).for_user(OTHER)):
        assert "mine" not in str(model._serialized)
