"""Users of the app's own sign-in, who have no account at OpenRouter, in a real ASGI app."""

from __future__ import annotations

import httpx2
import pytest
from langchain_core.stores import InMemoryByteStore
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from langchain_openrouter import ChatOpenRouter
from langchain_openrouter.web import SignIn, sse_response
from tests.support.gate import CUT, Gate
from tests.support.provisioning import account_keys, creations, provisioner
from tests.support.webapp import SECRET, Visit, in_thread


def app_of(emulator, keys, app_user):
    """Make an app with a sign-in of its own: the header x-user."""
    sign_in = SignIn(
        secret=SECRET,
        store=InMemoryByteStore(),
        base_url=emulator.url,
        app_user=app_user,
        provisioned=keys,
    )
    user_model = sign_in.user_model(
        ChatOpenRouter(model="openai/gpt-4o-mini", base_url=emulator.url, max_retries=0)
    )

    async def ask(request):
        model = await user_model(request)
        return JSONResponse({"text": (await model.ainvoke("hi")).text})

    async def stream(request):
        return sse_response(await user_model(request), "hi")

    async def me(request):
        visitor = await sign_in.visitor(request)
        return JSONResponse({"user": visitor and visitor.user_id})

    return Starlette(
        routes=[
            Mount("/auth", sign_in.router),
            Route("/ask", ask),
            Route("/stream", stream),
            Route("/who", me),
        ]
    )


@pytest.fixture(params=["sync", "async"])
def app_user(request):
    """The app's function, of both kinds."""

    async def asynchronous(request):
        return request.headers.get("x-user")

    return asynchronous if request.param == "async" else lambda req: req.headers.get("x-user")


@pytest.fixture
def site(emulate, app_user):
    """The app on an emulator."""
    emulator = emulate(any_key=False)
    keys = provisioner(emulator)
    with in_thread(app_of(emulator, keys, app_user)) as url:

        def get(path, user=None):
            headers = {} if user is None else {"x-user": user}
            return httpx2.get(f"{url}{path}", headers=headers, trust_env=False, timeout=20)

        get.emulator, get.keys, get.url = emulator, keys, url
        yield get


def test_each_user_has_a_key_of_their_own(site):
    """Made at the first request, used by the next; streams too."""
    for user in ("ann", "bob", "ann"):
        assert site("/ask", user).json()["text"]
    assert "data:" in site("/stream", "ann").text

    sent = [site.emulator.accounts.keys[r.key].external_user for r in site.emulator.chat_requests]
    assert sent == ["ann", "bob", "ann", "ann"]
    assert [r.body["user"] for r in site.emulator.chat_requests] == sent
    assert creations(site.emulator) == 2
    assert site("/who", "ann").json() == {"user": "ann"}


def test_who_is_not_signed_in_gets_no_key(site):
    """And the operator's is not used instead."""
    assert site("/ask").status_code == 401
    assert site("/who").json() == {"user": None}
    assert site("/auth/me").json() == {"signed_in": False}
    assert not account_keys(site.emulator)


def test_me_tells_each_user_their_own_amounts(site):
    """They are of one key: no cache is shared by those without a session."""
    site("/ask", "ann")
    ann, bob = site("/auth/me", "ann").json(), site("/auth/me", "bob").json()

    assert (ann["user_id"], bob["user_id"]) == ("ann", "bob")
    assert ann["usage"] > 0
    assert bob["usage"] == 0
    assert ann["limit"] == bob["limit"] == 5
    assert "sk-or" not in str(ann)


def test_a_revoked_user_is_refused(site):
    """403 at once; `/me` says why."""
    site("/ask", "ann")
    site.keys.revoke("ann")

    assert site("/ask", "ann").status_code == 403
    assert site("/auth/me", "ann").json() == {"signed_in": False, "problem": "KeyRevokedError"}
    assert site("/ask", "bob").status_code == 200
    site.keys.restore("ann")
    assert site("/ask", "ann").status_code == 200


def test_who_signed_in_with_openrouter_uses_that_key(site):
    """Their own account pays."""
    visit = Visit(site.url, **{"x-user": "ann"})
    visit.get("/ask")
    visit.sign_in("user_ann")
    visit.get("/ask")
    provisioned, own = (site.emulator.accounts.keys[r.key] for r in site.emulator.chat_requests)

    assert (provisioned.external_user, own.user_id) == ("ann", "user_ann")
    visit.sign_out()
    visit.get("/ask")
    assert site.emulator.chat_requests[-1].key == provisioned.secret
    visit.close()


def test_a_key_that_cannot_be_made_is_503(emulate):
    """With no word of the account."""
    emulator = emulate(any_key=False)
    with Gate(emulator) as gate:
        gate.once(CUT, times=2)
        keys = provisioner(gate)
        app = app_of(emulator, keys, lambda request: "ann")
        with in_thread(app) as url:
            answer = httpx2.get(f"{url}/ask", trust_env=False, timeout=20)

    assert answer.status_code == 503
    assert "try again" in answer.text
    assert "management" not in answer.text


def test_both_or_neither(emulate):
    """Whose key, and who makes it."""
    keys = provisioner(emulate())
    for options in ({"app_user": str}, {"provisioned": keys}):
        with pytest.raises(ValueError, match="go together"):
            SignIn(secret=SECRET, **options)


def test_a_session_is_of_the_apps_user_who_began_it(site):
    """Several people use one browser: nobody else is on that key, nor anybody when all are out."""
    visit = Visit(site.url, **{"x-user": "ann"})
    visit.sign_in("user_ann")
    assert visit.get("/who").json() == {"user": "user_ann"}
    anns = visit.me()

    visit.client.headers["x-user"] = "bob"
    assert visit.get("/who").json() == {"user": "bob"}
    assert visit.get("/ask").status_code == 200
    assert visit.me()["user_id"] == "bob"
    assert anns["csrf_token"] not in str(visit.me())
    del visit.client.headers["x-user"]
    assert visit.get("/ask").status_code == 401
    assert visit.me() == {"signed_in": False}

    used = {site.emulator.accounts.keys[r.key].user_id for r in site.emulator.chat_requests}
    assert "user_ann" not in used
    visit.client.headers["x-user"] = "ann"
    assert visit.get("/who").json() == {"user": "user_ann"}
    visit.sign_out()
    assert visit.get("/who").json() == {"user": "ann"}
    visit.close()
