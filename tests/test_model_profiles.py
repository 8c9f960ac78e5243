"""What a model can do, by slug."""

from __future__ import annotations

import subprocess
import sys

import pytest
from langchain.agents import create_agent
from pydantic import BaseModel

from langchain_openrouter import (
    ChatOpenRouter,
    _model_profiles,
)

pytestmark = pytest.mark.off_spec("no chat requests")


@pytest.mark.parametrize(
    ("slug", "tokens"),
    [("openai/gpt-4o-mini", 128_000), ("openai/gpt-4o-mini:nitro", 128_000), ("openai/gpt-4o-mini:floor:online", 128_000),
     ("~anthropic/claude-sonnet-latest", 1_000_000), ("nobody/nothing", None), ("openrouter/auto", None), ("@preset/mine", None),
     ("openai/gpt-4o-mini@preset/mine", None), ("", None)],
)  # fmt: skip
def test_a_profile_is_known_or_unknown(slug, tokens):
    """Variants and aliases are looked through; a preset, a router and an unknown slug claim nothing."""
    profile = ChatOpenRouter(model=slug, api_key="k").profile

    assert (profile and profile["max_input_tokens"]) == tokens


def test_a_profile_is_loaded_when_it_is_asked_for():
    """Not when the package is imported, nor when a model is made, called or copied."""
    code = (
        "from langchain_openrouter import ChatOpenRouter, _model_profiles\n"
        "m = ChatOpenRouter(model='openai/gpt-4o-mini', api_key='k').for_user('u').model_copy()\n"
        "m._get_request_payload('x'); repr(m); m.model_dump()\n"
        "print(_model_profiles._snapshot.cache_info().currsize)\n"
        "assert m.profile['tool_calling'] is True\n"
        "print(_model_profiles._snapshot.cache_info().currsize)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.split() == ["0", "1"]


def test_a_given_profile_stays():
    """The user's word counts, and survives copies."""
    model = ChatOpenRouter(model="openai/gpt-4o-mini", api_key="k", profile={"max_input_tokens": 5})

    assert model.for_user("u").profile == {"max_input_tokens": 5}
    with pytest.raises(AttributeError, match="nothing"):
        model.nothing  # noqa: B018 - the access is the test


def test_the_snapshot_is_made_from_a_list():
    """Aliases have their target's profile; a row without a slug is none."""
    rows = [{"id": "a/b", "canonical_slug": "a/b-1", "context_length": 7, "supported_parameters": ["tools"]},
            {"id": "~a/latest", "context_length": 1, "alias_target": {"slug": "a/b"}}, {"name": "none"}]  # fmt: skip
    made = _model_profiles.build_snapshot({"data": rows}, "2026-01-02")

    assert made["taken_on"] == "2026-01-02"
    assert set(made["models"]) == {"a/b", "a/b-1", "~a/latest"}
    assert {p["max_input_tokens"] for p in made["models"].values()} == {7}
    assert made["models"]["a/b"]["structured_output"] is False
    assert _model_profiles.taken_on() >= "2026-08-22"


class City(BaseModel):
    """A city."""

    name: str


@pytest.mark.parametrize(
    ("slug", "field"),
    [("anthropic/claude-sonnet-4.6", "response_format"), ("nobody/unknown", "tools")],
)
def test_an_agent_chooses_structured_output_by_the_profile(emulate, slug, field):
    """The service's own where the model has it, a tool where that is unknown."""
    emulator = emulate()
    model = ChatOpenRouter(model=slug, api_key="k", base_url=emulator.url)
    result = create_agent(model, [], response_format=City).invoke({"messages": "Where is Paris?"})

    assert result["structured_response"] == City(name="Paris")
    assert field in emulator.chats[0].body
