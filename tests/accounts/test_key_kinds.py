"""A management key and a key for inference cannot be given where the other belongs."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest
from pydantic import SecretStr

from langchain_openrouter import (
    ChatOpenRouter,
    OpenRouterEmbeddings,
    OpenRouterRerank,
    OpenRouterSettings,
    UserKey,
    as_user,
    errors,
)
from langchain_openrouter.accounts import Accounts, ManagementKey
from langchain_openrouter.catalog import Catalog
from langchain_openrouter.key_store import KeyStore
from langchain_openrouter.middleware import PerUserModel
from tests.support.accounts import BOTH, client
from tests.support.loopback import whole

pytestmark = pytest.mark.off_spec("the management API has no chat requests")
MANAGEMENT = "sk-or-v1-sentinelmanagement"
KEY = ManagementKey(MANAGEMENT)


def stored(key):
    """Store a key in memory."""
    from langchain_core.stores import InMemoryByteStore

    KeyStore(InMemoryByteStore(), secret="a-secret-of-a-test-of-32-characters!").set("u", key)


def assigned(key):
    """Assign a key to a model."""
    ChatOpenRouter(model="a/b", api_key="k").openai_api_key = key


PLACES = {
    "a model": lambda key: ChatOpenRouter(model="a/b", api_key=key),
    "a model's field": assigned,
    "a model's copy": lambda key: ChatOpenRouter(model="a/b", api_key="k").model_copy(
        update={"api_key": key}
    ),
    "for_user": lambda key: ChatOpenRouter(model="a/b").for_user(key),
    "embeddings": lambda key: OpenRouterEmbeddings(model="a/b", api_key=key),
    "rerank": lambda key: OpenRouterRerank(model="a/b", openrouter_api_key=key),
    "for_user of embeddings": lambda key: OpenRouterEmbeddings(model="a/b").for_user(key),
    "a catalog": lambda key: Catalog(api_key=key),
    "UserKey": UserKey,
    "as_user": lambda key: as_user(key).__enter__(),
    "a key store": stored,
    "settings": lambda key: OpenRouterSettings(api_key=key),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_management_key_is_refused(place):
    """Where a key for inference belongs, at once, in words that show no key."""
    with pytest.raises(ValueError, match="cannot be used for inference") as caught:
        PLACES[place](KEY)
    assert MANAGEMENT not in str(caught.value)


@BOTH
def test_a_management_key_from_a_callable_is_not_sent(serve, how):
    """It is noticed when the request is made."""
    server = serve(lambda _: whole())
    model = ChatOpenRouter(model="a/b", api_key=lambda: KEY, base_url=server.url)
    with pytest.raises(errors.AuthenticationError, match="cannot be used for inference"):
        model.invoke("hi") if how == "sync" else asyncio.run(model.ainvoke("hi"))
    with (
        as_user(lambda: KEY),
        pytest.raises(errors.AuthenticationError, match="cannot be used for inference"),
    ):
        model.invoke("hi") if how == "sync" else asyncio.run(model.ainvoke("hi"))
    assert not server.seen


def test_a_management_key_of_an_agents_context_is_not_sent(serve):
    """A `PerUserModel` refuses it too."""
    from langchain.agents import create_agent

    server = serve(lambda _: whole())
    model = ChatOpenRouter(model="a/b", api_key="k", base_url=server.url)
    agent = create_agent(model, [], middleware=[PerUserModel(lambda _: KEY)])
    with pytest.raises(ValueError, match="cannot be used for inference"):
        agent.invoke({"messages": "hi"})
    assert not server.seen


INFERENCE = {
    "a user's key": UserKey("sk-or-v1-sentineluser"),
    "its secret": UserKey("sk-or-v1-sentineluser").secret,
    "a copy of its secret": copy.deepcopy(UserKey("sk-or-v1-sentineluser").secret),
    "a model's key of a user": ChatOpenRouter(model="a/b")
    .for_user("sk-or-v1-sentineluser")
    .openai_api_key,
}


@BOTH
@pytest.mark.parametrize("kind", INFERENCE)
def test_a_key_for_inference_is_refused(serve, how, kind):
    """In the constructor, in a copy, and from a callable."""
    server, key = serve(lambda _: whole()), INFERENCE[kind]
    for make in (
        lambda: Accounts(management_key=key),
        lambda: client(server).model_copy(update={"management_key": key}),
        lambda: OpenRouterSettings(management_key=key),
    ):
        with pytest.raises(ValueError, match=r"for inference|must be a ManagementKey") as caught:
            make()
        assert "sentinel" not in str(caught.value)

    accounts = client(server, management_key=lambda: key)
    with pytest.raises(errors.AuthenticationError, match=r"inference|must be a ManagementKey"):
        accounts.credits() if how == "sync" else asyncio.run(accounts.acredits())
    assert not server.seen


def test_the_environments_key_for_inference_is_refused(monkeypatch):
    """A model shows it as a secret, which is known to be one for inference."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-sentineluser")
    with pytest.raises(ValueError, match="for inference"):
        Accounts(management_key=ChatOpenRouter(model="a/b").openai_api_key)
    with pytest.raises(ValueError, match="unknown argument `api_key`"):
        Accounts(api_key="k")


@pytest.mark.parametrize("key", [MANAGEMENT, SecretStr(MANAGEMENT), KEY, f" {MANAGEMENT}\n"])
def test_what_a_management_key_may_be(emulate, key):
    """A string, a secret, a key of its type; spaces around it are left out."""
    emulator = emulate()
    emulator.accounts.add_management_key(MANAGEMENT)

    assert client(emulator, management_key=key).credits().total_credits == 100.0
    assert emulator.requests[-1].key == MANAGEMENT
    for wrong in ("", "two words", "ä"):
        with pytest.raises(errors.AuthenticationError, match=r"no management key|no key has"):
            client(emulator, management_key=wrong).credits()


def test_a_management_key_is_not_pickled(monkeypatch):
    """Neither alone nor in a client; one of the environment is read again."""
    for holder in (KEY, Accounts(management_key=KEY)):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(holder)
    assert copy.deepcopy(KEY) is copy.copy(KEY) is KEY
    assert Accounts(management_key=KEY).model_copy(deep=True).management_key is KEY

    monkeypatch.setenv("OPENROUTER_MANAGEMENT_KEY", MANAGEMENT)
    pickled = pickle.dumps(Accounts())
    assert MANAGEMENT.encode() not in pickled
    assert pickle.loads(pickled).management_key.get_secret_value() == MANAGEMENT
    monkeypatch.delenv("OPENROUTER_MANAGEMENT_KEY")
    with pytest.raises(errors.AuthenticationError, match="no management key"):
        pickle.loads(pickled).credits()


def test_a_users_key_is_equal_to_what_it_was_made_of():
    """Its secret is of a type of its own, and compares, hashes and pickles as before."""
    key = UserKey("sk-or-v1-a", "u")

    assert key == UserKey(SecretStr("sk-or-v1-a"), "u") == pickle.loads(pickle.dumps(key))
    assert key.secret == SecretStr("sk-or-v1-a")
    assert hash(key.secret) == hash(SecretStr("sk-or-v1-a"))
