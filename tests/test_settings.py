"""Settings: where values come from, what a URL and a header may be."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from langchain_openrouter import ChatOpenRouter, OpenRouterSettings
from tests.support.loopback import Reply, whole

VALUES = {
    "api_key": ("OPENROUTER_API_KEY", "env-key", "env-key"),
    "base_url": ("OPENROUTER_API_BASE", "https://a.org/v1/", "https://a.org/v1"),
    "app_url": ("OPENROUTER_APP_URL", "https://app.org", "https://app.org"),
    "app_title": ("OPENROUTER_APP_TITLE", "App", "App"),
    "app_categories": ("OPENROUTER_APP_CATEGORIES", "a, b", ["a", "b"]),
    "session_id": ("OPENROUTER_SESSION_ID", "s", "s"),
    "timeout": ("OPENROUTER_TIMEOUT", "7", 7.0),
    "max_retries": ("OPENROUTER_MAX_RETRIES", "5", 5),
}
ALIASES = [
    ("OPENROUTER_BASE_URL", "base_url", "https://a.org"),
    ("OPENROUTER_HTTP_REFERER", "app_url", "https://app.org"),
    ("OPENROUTER_X_OPEN_ROUTER_TITLE", "app_title", "App"),
]
FIELDS = {"api_key": "openai_api_key", "base_url": "openai_api_base", "timeout": "request_timeout"}


def plain(value):
    """Return the value, a secret's too."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


@pytest.mark.parametrize("name", VALUES)
def test_environment(name, monkeypatch):
    """Each variable fills its setting, and the model's field; an empty one is an unset one."""
    variable, text, value = VALUES[name]
    default = plain(getattr(OpenRouterSettings(), name))
    monkeypatch.setenv(variable, text)

    assert plain(getattr(OpenRouterSettings(), name)) == value
    assert plain(getattr(ChatOpenRouter(model="a/b"), FIELDS.get(name, name))) == value
    monkeypatch.setenv(variable, "")
    assert plain(getattr(OpenRouterSettings(), name)) == default


@pytest.mark.parametrize(("variable", "name", "value"), ALIASES)
def test_the_official_sdks_names(variable, name, value, monkeypatch):
    """Variables set for OpenRouter's own SDKs work."""
    monkeypatch.setenv(variable, value)

    assert getattr(OpenRouterSettings(), name) == value


@pytest.mark.parametrize("name", VALUES)
def test_precedence_keyword_settings_environment_default(name, monkeypatch):
    """A keyword beats `settings=`, which beats the environment, which beats the default."""
    others = {
        "api_key": ("k1", "k2"), "base_url": ("https://1.org", "https://2.org"),
        "app_url": ("1", "2"), "app_title": ("1", "2"), "app_categories": (["1"], ["2"]),
        "session_id": ("1", "2"), "timeout": (1.0, 2.0), "max_retries": (1, 0),
    }  # fmt: skip
    keyword, setting = others[name]
    field = FIELDS.get(name, name)

    def value(**kwargs):
        return plain(getattr(ChatOpenRouter(model="a/b", **kwargs), field))

    default = value()
    monkeypatch.setenv(*VALUES[name][:2])
    settings = OpenRouterSettings(**{name: setting})
    assert value(**{name: keyword}, settings=settings) == keyword
    assert value(settings=settings) == setting
    assert value() == VALUES[name][2]
    monkeypatch.delenv(VALUES[name][0])
    assert value() == default


def test_files_on_request_only(tmp_path, monkeypatch):
    """A `.env` and a folder of secrets are read when named, and not before."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("OPENROUTER_API_KEY=from-file\nOTHER=1\n")
    (tmp_path / "OPENROUTER_API_KEY").write_text("from-secret")

    assert OpenRouterSettings().api_key is None
    assert plain(OpenRouterSettings(_env_file=".env").api_key) == "from-file"
    assert plain(OpenRouterSettings(_secrets_dir=tmp_path).api_key) == "from-secret"


def test_errors_show_no_value(monkeypatch):
    """Neither of a wrong variable, nor of a wrong keyword."""
    monkeypatch.setenv("OPENROUTER_TIMEOUT", "sentinel")
    with pytest.raises(ValidationError) as caught:
        OpenRouterSettings(api_key="sentinel-key")
    assert "sentinel" not in str(caught.value)
    with pytest.raises(TypeError, match="did you mean `api_key`"):
        OpenRouterSettings(api_kee="sentinel")


def test_secrets_are_hidden():
    """The key shows in no repr."""
    assert "sentinel" not in repr(OpenRouterSettings(api_key="sentinel"))


@pytest.mark.parametrize(
    "url", ["https://openrouter.ai/api/v1", "https://eu.openrouter.ai/api/v1/",
            "http://localhost:8000/v1", "http://127.0.0.1:1", "http://[::1]:1/x"],
)  # fmt: skip
def test_base_urls_that_are_safe(url):
    """Over https anywhere, http on loopback; a trailing slash goes."""
    assert ChatOpenRouter(model="a/b", base_url=url).openai_api_base == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["http://openrouter.ai/api/v1", "http://localhost.evil.org", "http://10.0.0.1",
            "ftp://a", "openrouter.ai", "https://", "https://u:sentinel@openrouter.ai",
            "https://openrouter.ai?key=sentinel", "https://[bad", "http://127.0.0.1.evil.org"],
)  # fmt: skip
def test_base_urls_that_are_not(url):
    """A key must not travel in plain text, nor a password in a URL; it is not shown."""
    with pytest.raises(ValidationError, match="base_url must") as caught:
        ChatOpenRouter(model="a/b", base_url=url)

    assert "sentinel" not in str(caught.value)


def test_no_attribution_by_default(serve, model_on):
    """Nothing names an app unless it was asked for."""
    server = serve(Reply(whole()))
    model_on(server).invoke("x")
    headers = server.seen[0].headers

    assert set(headers) == {"host", "accept", "accept-encoding", "connection", "content-type",
                            "content-length", "user-agent", "authorization"}  # fmt: skip
    assert headers["user-agent"].startswith("langchain-openrouter-oauth/")


def test_the_users_headers_win_in_any_case(serve, model_on):
    """Over ours, and a call's over the model's."""
    server = serve(Reply(whole()))
    model = model_on(
        server, app_url="https://ours.org", app_title="Ours",
        default_headers={"http-REFERER": "https://user.org", "USER-agent": "me", "X-A": "1"},
    )  # fmt: skip
    model.invoke("x", extra_headers={"x-a": "2"})
    headers = server.seen[0].headers

    assert headers["http-referer"] == "https://user.org"
    assert headers["x-openrouter-title"] == "Ours"
    assert headers["user-agent"] == "me"
    assert headers["x-a"] == "2"


@pytest.mark.parametrize(
    ("title", "sent"), [("Café 🙂", "Caf%C3%A9 %F0%9F%99%82"), ("A & B", "A & B")]
)
def test_trap_35_titles_beyond_ascii(title, sent, serve, model_on):
    """They are percent-encoded, and do not crash."""
    server = serve(Reply(whole()))
    model_on(server, app_title=title, default_headers={"X-Ü".replace("Ü", "U"): "ü"}).invoke("x")

    assert server.seen[0].headers["x-openrouter-title"] == sent
    assert server.seen[0].headers["x-u"] == "%C3%BC"


@pytest.mark.parametrize(
    "given",
    [{"app_title": "a\nX-Evil: 1"}, {"default_headers": {"A": "b\rc"}},
     {"default_headers": {"A: b\r\nX-Evil": "1"}}, {"default_headers": {"": "1"}}],
)  # fmt: skip
def test_a_line_break_is_no_header(given):
    """A header cannot be smuggled in."""
    with pytest.raises(ValidationError, match=r"control characters|no name"):
        ChatOpenRouter(model="a/b", **given)


@pytest.mark.parametrize("name", ["Authorization", "cookie"])
def test_a_key_cannot_come_as_a_header(name, serve, model_on):
    """It would go along to every other user's model."""
    with pytest.raises(ValueError, match="pass the key as `api_key=`"):
        model_on(serve(Reply(whole()))).invoke("x", extra_headers={name: "Bearer x"})
