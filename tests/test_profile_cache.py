"""Model profiles: the snapshot, the copy on disk that a refresh writes, and who may write it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from datetime import UTC, datetime, timedelta

import pytest

from langchain_openrouter import ChatOpenRouter, _model_profiles, _profile_cache, errors
from langchain_openrouter._catalog_types import Model
from langchain_openrouter.catalog import Catalog

NEW = {
    "id": "acme/newest",
    "canonical_slug": "acme/newest-20261120",
    "name": "Newest",
    "context_length": 4242,
    "supported_parameters": ["tools", "structured_outputs"],
    "reasoning": {"mandatory": True, "supported_efforts": ["low", "high"]},
}


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Use a cache folder of the test's own; its profiles are forgotten afterwards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _model_profiles.forget()
    yield _profile_cache.path()
    _model_profiles.forget()


@pytest.fixture
def listing(serve, monkeypatch):
    """Serve a list of models, as the service of the environment."""
    from tests.support.loopback import Reply

    server = serve(Reply({"data": [NEW, {"id": "anthropic/claude-opus-5.5"}]}))
    monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
    return server


def profile(slug="acme/newest"):
    """Return the profile of a model."""
    return ChatOpenRouter(model=slug, api_key="k").profile


@pytest.mark.parametrize("use_async", [False, True])
@pytest.mark.off_spec
def test_a_refresh_writes_profiles_that_win_over_the_snapshot(use_async, cache, listing):
    """Without a key, in this process at once and in another; what the snapshot alone has stays."""
    assert profile() is None
    catalog = Catalog()
    path = asyncio.run(catalog.arefresh_profiles()) if use_async else catalog.refresh_profiles()

    assert path == cache
    assert profile()["max_input_tokens"] == 4242
    assert profile("acme/newest-20261120")["reasoning_mandatory"] is True
    assert profile("acme/newest:nitro")["reasoning_effort_levels"] == ["low", "high"]
    assert profile("openai/gpt-4o-mini")["tool_calling"] is True
    code = "from langchain_openrouter import ChatOpenRouter as C; print(C(model='acme/newest', api_key='k').profile['name'])"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == "Newest"
    assert "authorization" not in listing.seen[0].headers
    assert listing.seen[0].path.endswith("/models?output_modalities=all")


@pytest.mark.off_spec
def test_what_is_documented_of_a_model_survives_a_refresh(cache, listing):
    """The listing of Claude 5.5 does not say that forcing a tool is refused; the profile does."""
    Catalog().refresh_profiles()
    refreshed = profile("anthropic/claude-opus-5.5")

    assert refreshed["forced_tool_choice"] is False
    assert refreshed["reasoning_mandatory"] is True
    assert refreshed["structured_output"] is True


@pytest.mark.off_spec
def test_an_older_copy_does_not_win(cache, listing):
    """A package that is updated after the last refresh knows more than the copy."""
    _profile_cache.write(
        _model_profiles.build_profiles({"data": [NEW]}), base_url=listing.url,
        taken_on=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    assert profile() is None


def damaged(path, name, content):
    """Change the file in one way."""
    match name:
        case "cut":
            path.write_bytes(path.read_bytes()[:100])
        case "binary":
            path.write_bytes(b"\xff\xfe" * 500)
        case "deep":
            path.write_text("[" * 200_000)
        case "huge":
            path.write_text(path.read_text() + " " * (17 * 1024 * 1024))
        case "folder":
            path.unlink()
            path.mkdir()
        case _:
            path.write_text(json.dumps({**json.loads(path.read_text()), **content}))


@pytest.mark.parametrize(
    ("name", "content"),
    [("cut", {}), ("binary", {}), ("deep", {}), ("huge", {}), ("folder", {}),
     ("other format", {"format": "another program"}), ("other service", {"service": "evil.example"}),
     ("no date", {"taken_on": None}), ("future", {"taken_on": str(datetime.now(UTC) + timedelta(days=9))}),
     ("no models", {"models": {}}), ("list", {"models": [1]}), ("models of text", {"models": {"acme/newest": "x"}})],
)  # fmt: skip
@pytest.mark.off_spec
def test_a_corrupt_or_foreign_copy_is_ignored(name, content, cache, listing):
    """Whatever is in the file, the snapshot serves, and the next refresh mends it."""
    Catalog().refresh_profiles()
    damaged(cache, name, content)
    _model_profiles.forget()

    assert profile() is None
    assert profile("openai/gpt-4o-mini")["tool_calling"] is True
    if name != "folder":
        Catalog().refresh_profiles()
        assert profile()["name"] == "Newest"


@pytest.mark.off_spec
def test_a_profile_from_disk_has_only_plain_values(cache, listing):
    """A value of another kind is left out; the others stay."""
    _profile_cache.write(
        {"acme/newest": {"name": "N", "max_input_tokens": {"a": 1}}}, base_url=listing.url
    )

    assert profile() == {"name": "N"}


@pytest.mark.off_spec
def test_a_listing_that_is_empty_or_an_error_writes_nothing(cache, serve, monkeypatch):
    """The copy of before stays."""
    from tests.support.loopback import Reply

    for reply in (Reply({"data": []}), Reply({"error": {"code": 500, "message": "x"}}, status=500)):
        catalog = Catalog(base_url=serve(reply).url, max_retries=0)
        with pytest.raises(errors.UpstreamError):
            catalog.refresh_profiles()
    assert not cache.exists()


@pytest.mark.off_spec
def test_profiles_are_refreshed_in_the_background_once_a_day(cache, listing, monkeypatch):
    """One thread for any number of calls; a fresh copy is left alone, a failure waits an hour."""
    monkeypatch.setattr(_profile_cache, "_refresher", None)
    before = [thread.name for thread in threading.enumerate()].count("openrouter-profiles")
    for _ in range(5):
        Catalog().refresh_profiles_daily()
    deadline = time.monotonic() + 10
    while not cache.exists() and time.monotonic() < deadline:
        time.sleep(0.02)

    assert profile()["name"] == "Newest"
    after = [thread.name for thread in threading.enumerate()].count("openrouter-profiles")
    assert after == before + 1
    pause = _profile_cache._refresh_if_old(lambda: pytest.fail("fresh"), listing.url)
    assert 86_000 < pause <= 86_400
    cache.unlink()
    assert _profile_cache._refresh_if_old(lambda: 1 / 0, listing.url) == 3600
    assert len(listing.seen) == 1


def test_the_snapshot_knows_the_models_of_november_and_claims_nothing_it_does_not_know():
    """Claude 5.5 as documented; a field that no list has is absent."""
    opus, gpt = profile("anthropic/claude-opus-5.5"), profile("openai/gpt-6-sol")

    assert opus["structured_output"] is True
    assert opus["reasoning_effort_levels"] == ["low", "medium", "high", "xhigh", "max"]
    assert opus["temperature"] is False
    assert profile("anthropic/claude-haiku-5.5").get("forced_tool_choice") is None
    assert profile("anthropic/claude-haiku-5.5")["reasoning_mandatory"] is False
    assert gpt["max_input_tokens"] == 1_050_000
    assert not {"structured_output", "pdf_inputs", "temperature", "tool_choice"} & set(gpt)
    assert _model_profiles.taken_on() == "2026-11-10"


def test_a_profile_that_was_read_can_be_passed_to_another_model():
    """Its keys beyond LangChain's raise no warning; an unknown key still does."""
    known = profile("anthropic/claude-opus-5.5")
    model = ChatOpenRouter(model="anthropic/claude-opus-5.5", api_key="k", profile=known)

    assert model.profile == known
    assert Model.from_api(NEW).profile["reasoning_mandatory"] is True
    with pytest.warns(UserWarning, match="nonsense"):
        ChatOpenRouter(model="a/b", api_key="k", profile={"nonsense": True})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ChatOpenRouter(model="a/b", api_key="k", profile={"reasoning_mandatory": True})


def test_a_pipe_at_its_path_does_not_block_and_wrong_types_are_left_out():
    """The file is anybody's who may write in the user's cache folder."""
    path = _profile_cache.path()
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    assert _profile_cache.read(base_url="https://openrouter.ai/api/v1") is None

    odd = {"reasoning_effort_levels": 3, "refused_parameters": "x", "max_input_tokens": "9",
           "structured_output": "no", "tool_choice": 1, "max_output_tokens": True, "name": "A"}  # fmt: skip
    assert _model_profiles._valid_profile(odd) == {"name": "A"}
