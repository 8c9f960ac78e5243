"""Uses of the public API that a type checker reads and nobody runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_type

from langchain_core.messages import AIMessage, AIMessageChunk
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Router

from langchain_openrouter import (
    ChatOpenRouter,
    OpenRouterEmbeddings,
    OpenRouterError,
    OpenRouterRerank,
    OpenRouterSettings,
    PKCELogin,
    UserKey,
    as_user,
    current_user,
    errors,
    login,
    wire,
)
from langchain_openrouter.accounts import (
    Accounts,
    CreatedKey,
    ExternalUser,
    Guardrail,
    KeyRecord,
    ManagementKey,
    ProvisionedKeys,
    Rows,
    SweepReport,
    UserUsage,
    WorkloadIdentity,
)
from langchain_openrouter.callbacks import get_openrouter_callback
from langchain_openrouter.catalog import Catalog
from langchain_openrouter.key_store import KeyStore
from langchain_openrouter.middleware import PerUserModel
from langchain_openrouter.oauth import KeyBudget
from langchain_openrouter.testing import (
    Emulator,
    Fault,
    ReceivedRequest,
    Reply,
    assert_prefix_stable,
    error_reply,
    use_cassette,
)
from langchain_openrouter.web import RedisStore, SignIn, Visitor, sse_response


async def key() -> str:
    """Return a key."""
    return "k"


preferences: wire.ProviderPreferences = {"zdr": True, "max_price": {"prompt": 1, "completion": "2"}}
reasoning: wire.Reasoning = {"effort": "brand-new", "max_tokens": 1}

ChatOpenRouter(model="a/b")
ChatOpenRouter("a/b", prompt_caching="1h", response_cache=600, router_metadata=True)
ChatOpenRouter(model_name="a/b", openrouter_api_key="k", openrouter_api_base="https://a.org")
ChatOpenRouter("a/b", provider={"zrd": True})  # type: ignore[arg-type]
ChatOpenRouter("a/b", reasoning={"efort": "low"})  # type: ignore[arg-type]
ChatOpenRouter("a/b", temprature=1)  # type: ignore[call-arg]
OpenRouterSettings(timeut=3)  # type: ignore[call-arg]
settings = OpenRouterSettings(api_key="k", app_categories=["cli-agent"], _env_file=".env")
assert_type(
    ChatOpenRouter("a/b", settings=settings, stop_sequences=["x"]).settings,
    OpenRouterSettings | None,
)
OpenRouterEmbeddings(model="a/b", settings=settings, session_id="thread")
OpenRouterRerank(model="a/b", settings=settings, openrouter_api_key="k", session_id="s")
ChatOpenRouter(model="a/b", api_key="k", settings=OpenRouterSettings(timeout=3))
ChatOpenRouter(model="a/b", api_key=SecretStr("k"), base_url="https://openrouter.ai/api/v1")
ChatOpenRouter(model="a/b", api_key="k", provider=preferences)
ChatOpenRouter(model="a/b", api_key=lambda: "k")
ChatOpenRouter(model="a/b", api_key=key)
model = ChatOpenRouter(
    model="a/b", models=["c/d"], openrouter_provider=preferences, reasoning=reasoning,
    plugins=[{"id": "web", "max_results": 3}], temperature=0.5, max_tokens=3, timeout=10,
    max_retries=0, stop=["x"], session_id="s", trace={"trace_id": "t"}, user="u",
    request_metadata={"a": "b"}, service_tier="flex", verbosity="low", top_k=3,
    app_url="https://a.org", app_title="A", app_categories=["cli-agent"], default_headers={"a": "b"},
)  # fmt: skip

deferred: wire.DeferredTools = {
    "protocol": "v1",
    "profile": "portable",
    "validation": "runtime",
    "search": {"type": "bm25"},
}
search: wire.ServerTool = {"type": "openrouter:web_search", "parameters": {"engine": "exa"}}
rules: wire.Plugin = {"id": "alignment", "rules": [{"rule": "Be kind.", "watch": ["content"]}]}
mark: wire.CacheControl = {"type": "ephemeral", "ttl": "1h"}
ChatOpenRouter("a/b", tools=[search], plugins=[rules], deferred_tools=deferred, cache_control=mark)
ChatOpenRouter("a/b", plugins=[{"id": "web", "max_resluts": 3}])  # type: ignore[typeddict-unknown-key]
assert_type(model.invoke("x"), AIMessage)
assert_type(model.stream("x"), Iterator[AIMessageChunk])
assert_type(model.astream("x"), AsyncIterator[AIMessageChunk])
assert_type(model.model_copy(update={"openai_api_key": "k"}), ChatOpenRouter)

assert_type(model.for_user("k"), ChatOpenRouter)
assert_type(model.for_user(UserKey(SecretStr("k")), user=True), ChatOpenRouter)
model.for_user(key)
assert_type(ChatOpenRouter.login(model="a/b", mode="headless", temperature=1), ChatOpenRouter)
assert_type(login(mode="auto", prompt=input, timeout=None, key_store=KeyStore()), UserKey)
started = PKCELogin.start("https://a.org/cb", key_label="A", limit=3)
assert_type(PKCELogin.unseal(started.seal("s"), ["s", b"t"]), PKCELogin)
assert_type(started.redeem("code"), UserKey)
assert_type(started.redeem("code").info().remaining, float | None)
assert_type(started.redeem("code").info().blocked_by, str | None)
assert_type(started.redeem("code").info().effective_budget, KeyBudget | None)
assert_type(started.redeem("code").granted, Mapping[str, Any] | None)
PKCELogin.start(expires_at=timedelta(days=30), required_workspace_id="w")
login(required_workspace_id="w", expires_at=timedelta(days=30))
SignIn(secret="s", workspace_id="w", required_workspace_id="w", expires_at=timedelta(days=30))
PerUserModel(KeyStore(), user_id="who")
PerUserModel(lambda context: context.key, strict=False)
ChatOpenRouter(model="a/b", api_key=current_user).for_user(current_user)
OpenRouterEmbeddings(model="a/b", api_key=current_user)
with as_user(UserKey(SecretStr("k")), user="ann", strict=False) as run:
    assert_type(run, as_user)

with Emulator(["one", Reply("two", fault=Fault("cut", after=1)), None]) as emulator:
    assert_type(emulator.url, str)
    assert_type(emulator.chat_requests[0].key, str)
    assert_type(emulator.chats[0], ReceivedRequest)
    emulator.script([error_reply("server"), None])
with use_cassette("c.yaml", record="once") as recording:
    assert_prefix_stable(recording.exchanges)

assert_type(OpenRouterEmbeddings(model="a/b").for_user("k").embed_query("x"), list[float])
assert_type(OpenRouterEmbeddings(model="a/b").embed(["x"]).cost, float | None)
assert_type(OpenRouterRerank(model="a/b", top_n=1).rerank("q", ["d"]).results[0].score, float)
assert_type(Catalog().models(q="x")[0].prompt_price, float | None)
assert_type(Catalog().unsupported_parameters(model), list[str])
assert_type(Catalog().estimate(model, "x").cost, float)

with get_openrouter_callback() as used:
    assert_type(used.cost, float)
    assert_type(used.saved, float | None)
    assert_type(used.by_user()["ann"].total_tokens, int)

sign_in = SignIn(secret=["new", b"old"], store=RedisStore("redis://h"), on_event=print)
assert_type(sign_in.router, Router)


async def route() -> None:
    """Do what a route of a web app does."""
    request = Request({"type": "http"})
    assert_type(await sign_in.user_model(model)(request), ChatOpenRouter)
    assert_type(await sign_in.visitor(request), Visitor | None)
    assert_type(sse_response(model, "x"), StreamingResponse)


model.bind_tools([{"type": "openrouter:web_search"}], tool_choice="any", strict=True)
model.with_structured_output({"title": "x"}, method="json_schema", require_parameters=True)
model.with_structured_output({"title": "x"}, method="auto")
assert_type(Catalog().refresh_profiles(), Path)
model.close()

try:
    model.invoke("x", provider=preferences)
except errors.ModerationError as error:
    assert_type(error.reasons, list[str])
except errors.InFlightBudgetError as error:
    assert_type(error.limit_source, str | None)
    assert_type(error.affordable_tokens, int | None)
    assert_type(error.status_code, int | None)
except errors.RateLimitError as error:
    assert_type(error.retry_after, float | None)
except OpenRouterError as error:
    assert_type(error.code, int | None)
    assert_type(error.partial, AIMessage | None)
    assert_type(error.is_retryable, bool)

accounts = Accounts(management_key=ManagementKey("k"))
created = accounts.keys.create("n", limit=5, limit_reset="monthly", external_user="u")
assert_type(created.key, UserKey)
assert_type(created.record, KeyRecord)
for record in accounts.keys.list(include_disabled=True):
    assert_type(record, KeyRecord)
assert_type(accounts.keys.list().all(), Rows[KeyRecord])
assert_type(accounts.keys.update(created, disabled=True, limit=None), KeyRecord)
assert_type(accounts.guardrails.create("g", allowed_models=["a/b"]), Guardrail)
assert_type(accounts.guardrails.assign_keys("g", [created, record, created.key]), int)
assert_type(accounts.activity(key=created)[0].usage, float)
assert_type(accounts.credits().remaining, float | None)
provisioned = ProvisionedKeys(accounts, store=KeyStore(), limit=5, limit_reset="monthly")
assert_type(provisioned.get("ann"), UserKey)
assert_type(provisioned.usage(), Rows[UserUsage])
assert_type(provisioned.sweep(dry_run=True), SweepReport)
PerUserModel(provisioned)
ChatOpenRouter(model="a/b", api_key=provisioned.key_for("ann"))
ChatOpenRouter(model="a/b", api_key=WorkloadIdentity(key, federation_policy_id="p"))


async def manage() -> None:
    """Do what an async app does."""
    assert_type(await accounts.keys.acreate("n"), CreatedKey)
    assert_type(await provisioned.aget("ann"), UserKey)
    assert_type(await provisioned.asweep(), SweepReport)
    async for user in accounts.external_users.alist():
        assert_type(user, ExternalUser)
