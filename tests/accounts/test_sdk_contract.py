"""OpenRouter's own SDK and this client send the same requests, and read the same rows."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest

from langchain_openrouter.accounts import (
    Accounts,
    ActivityRow,
    ByokChanges,
    ByokFields,
    Credits,
    ExternalUser,
    GuardrailChanges,
    GuardrailFields,
    KeyAssignment,
    KeyChanges,
    KeyFields,
    KeyRecord,
    WorkspaceBudget,
    WorkspaceChanges,
    WorkspaceFields,
)
from langchain_openrouter.testing import Emulator
from tests.support.sdk import sdk_python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # the first test makes the environment
    pytest.mark.off_spec("the management API has no chat requests"),
]
SECRET = "sk-or-v1-" + "ab12" * 16
OWN = "own-key-of-32-characters-or-more-0123456789"
USER = "team/ann ä"

PROGRAM = """
import json, sys
from datetime import datetime, timezone
from openrouter import OpenRouter, components, operations, errors

url, key, hash_, user, own, guardrail, workspace, credential = sys.argv[1:]
client = OpenRouter(api_key=key, server_url=url)
read = {}

def keep(name, value):
    read[name] = value.model_dump(mode="json", by_alias=True)

made = client.api_keys.create(
    name="n", limit=5, limit_reset="daily", include_byok_in_limit=True, workspace_id=workspace,
    expires_at=datetime(2099, 1, 2, 3, 4, 5, tzinfo=timezone.utc), external={"user": user})
keep("created", made.data)
try:  # its model wants a key, which the service does not send back
    client.api_keys.create(name="own", limit=None, external={"user": user, "api_key": own})
except errors.ResponseValidationError:
    pass
keep("listed", client.api_keys.list(include_disabled=True, include_expired=True).data[0])
client.api_keys.list(workspace_id=workspace, offset=1)
keep("got", client.api_keys.get(hash=hash_).data)
keep("updated", client.api_keys.update(hash=hash_, name="m", limit=None, limit_reset=None).data)
client.api_keys.update(hash=hash_, disabled=True)
client.api_keys.update(hash=hash_, disabled=False)

keep("user", client.external_users.create(user=user).data)
read["users"] = [u.user for u in client.external_users.list(limit=100, include_inactive=True).result.data]
keep("got user", client.external_users.get(user=user).data)
keep("updated user", client.external_users.update(user=user, is_active=False).data)
client.external_users.delete(user=user)

keep("guardrail", client.guardrails.create(
    name="g", limit_usd=1.5, reset_interval="weekly", allowed_models=["openai/gpt-4o-mini"],
    ignored_providers=["azure"], enforce_zdr_openai=True, workspace_id=workspace,
    content_filters=[{"action": "block", "pattern": "x"}]).data)
read["guardrails"] = len(client.guardrails.list(limit=100, workspace_id=workspace).result.data)
keep("got guardrail", client.guardrails.get(id=guardrail).data)
keep("updated guardrail", client.guardrails.update(id=guardrail, name="h", allowed_models=None).data)
read["assigned"] = client.guardrails.bulk_assign_keys(id=guardrail, key_hashes=[hash_]).assigned_count
keep("assignment", client.guardrails.list_guardrail_key_assignments(id=guardrail, limit=100).result.data[0])
read["assignments"] = len(client.guardrails.list_key_assignments(limit=100).result.data)
read["unassigned"] = client.guardrails.bulk_unassign_keys(id=guardrail, key_hashes=[hash_]).unassigned_count
client.guardrails.delete(id=guardrail)

keep("workspace", client.workspaces.create(name="W", slug="w", description="d").data)
read["workspaces"] = len(client.workspaces.list(limit=100).result.data)
keep("got workspace", client.workspaces.get(id=workspace).data)
keep("updated workspace", client.workspaces.update(id=workspace, name="X").data)

keep("budget", client.workspaces.set_budget(workspace_ref=workspace, interval="monthly", limit_usd=9, include_byok_in_budgets=True).data)
read["budgets"] = len(client.workspaces.list_budgets(workspace_ref=workspace).data)
client.workspaces.delete_budget(workspace_ref=workspace, interval="monthly")

keep("credential", client.byok.create(provider="openai", key=own, allowed_models=["openai/gpt-4o-mini"]).data)
read["credentials"] = len(client.byok.list(limit=100, provider="openai").result.data)
keep("got credential", client.byok.get(id=credential).data)
keep("updated credential", client.byok.update(id=credential, key=own, disabled=True).data)
client.byok.delete(id=credential)

keep("activity", client.analytics.get_user_activity(request={"group_by": "workspace"}).data[0])
client.analytics.get_user_activity(request={"date_": "2026-11-01", "api_key_hash": hash_})
keep("credits", client.credits.get_credits().data)
client.api_keys.delete(hash=hash_)

def fails(call, kind):
    try:
        call()
    except kind:
        return True
read["not found"] = fails(lambda: client.api_keys.get(hash=hash_), errors.NotFoundResponseError)
read["nothing"] = fails(lambda: client.guardrails.update(id=guardrail), errors.NotFoundResponseError)
read["conflict"] = fails(lambda: client.external_users.create(user=user), errors.ConflictResponseError)
read["bad"] = fails(lambda: client.api_keys.create(name="n", limit=-1), errors.BadRequestResponseError)

def names(model):
    return sorted(f.alias or n for n, f in model.model_fields.items())
read["fields"] = {
    "KeyRecord": names(operations.ListData), "ExternalUser": names(components.ExternalUser),
    "KeyAssignment": names(components.KeyAssignment), "ActivityRow": names(components.ActivityItem),
    "WorkspaceBudget": names(components.WorkspaceBudget),
    "Credits": names(operations.GetCreditsData),
    "KeyFields": names(operations.CreateKeysRequestBody),
    "KeyChanges": names(operations.UpdateKeysRequestBody),
    "GuardrailFields": names(components.CreateGuardrailRequest),
    "GuardrailChanges": names(components.UpdateGuardrailRequest),
    "WorkspaceFields": names(components.CreateWorkspaceRequest),
    "WorkspaceChanges": names(components.UpdateWorkspaceRequest),
    "ByokFields": names(components.CreateBYOKKeyRequest),
    "ByokChanges": names(components.UpdateBYOKKeyRequest),
}
print(json.dumps(read))
"""


def prepare(emulator):
    """Put the same things into an emulator; return their ids."""
    key = emulator.accounts.add_key(SECRET, limit=3.0)
    organization = emulator.organization
    workspace = organization.add_workspace({"name": "Team", "slug": "team"}, "ws_team")["id"]
    organization.guardrails.create({"name": "Fixed"}, workspace, "guardrail-1")
    credential = organization.add_credential({"provider": "openai", "key": OWN})
    credential["id"] = "credential-1"
    organization.credentials = {"credential-1": credential}
    use(emulator)
    emulator.clock.advance(86_400)
    return key.hash, workspace


def use(emulator):
    """Use a key for a chat, so that there is activity."""
    import httpx2

    httpx2.post(
        f"{emulator.url}/chat/completions",
        json={"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]},
        headers={"authorization": f"Bearer {SECRET}"},
    ).raise_for_status()
    emulator.requests.clear()


def requests_of(emulator):
    """Return what an emulator received: method, path, query, body."""
    return [
        (
            request.method,
            unquote(request.path),
            {
                name: value
                for name, value in request.query.items()
                if (name, value) != ("offset", "0")
            },
            request.body,
        )
        for request in emulator.requests
    ]


@pytest.fixture(scope="module")
def sdk():
    """Run the SDK's program; return what it read, and its requests."""
    python = sdk_python()
    with Emulator() as emulator:
        hash_, workspace = prepare(emulator)
        arguments = [
            emulator.url,
            emulator.management_key,
            hash_,
            USER,
            OWN,
            "guardrail-1",
            workspace,
        ]
        done = subprocess.run(
            [python, "-c", PROGRAM, *arguments, "credential-1"],
            capture_output=True, text=True, timeout=200, check=False,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.strip().splitlines()[-1]), requests_of(emulator)


def test_the_sdk_reads_the_emulators_answers(sdk):
    """Every answer has the shape that the SDK's models demand, and the errors their statuses."""
    read, _ = sdk

    assert read["created"]["external_user"] == USER
    assert read["created"]["limit_reset"] == "daily"
    assert read["listed"]["name"] == "own"
    assert read["updated"]["limit"] is None
    assert (read["assigned"], read["assignments"], read["unassigned"]) == (1, 1, 1)
    assert read["users"] == [USER]
    assert read["guardrail"]["limit_usd"] == 1.5
    assert read["activity"]["requests"] == 1
    assert all(read[name] for name in ("not found", "nothing", "conflict", "bad"))


def test_requests_equal_the_sdks(sdk):
    """Method, path, query and body of each operation are those of the SDK."""
    with Emulator() as emulator:
        hash_, workspace = prepare(emulator)
        accounts = Accounts(management_key=emulator.management_key, base_url=emulator.url)
        call_everything(accounts, hash_, workspace)
        ours = requests_of(emulator)

    theirs = sdk[1][: len(ours)]  # what follows are errors
    for our, their in zip(ours, theirs, strict=True):
        assert our == their


def call_everything(accounts, hash_, workspace):
    """Call the operations in the order of the SDK's program."""
    accounts.keys.create(
        "n", limit=5, limit_reset="daily", include_byok_in_limit=True, workspace_id=workspace,
        expires_at=datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC), external_user=USER,
    )  # fmt: skip
    accounts.keys.create("own", limit=None, external_user=USER, external_api_key=OWN)
    next(iter(accounts.keys.list(include_disabled=True, include_expired=True)))
    next(iter(accounts.keys.list(workspace_id=workspace, offset=1)), None)
    accounts.keys.get(hash_)
    accounts.keys.update(hash_, name="m", limit=None, limit_reset=None)
    accounts.keys.disable(hash_)
    accounts.keys.enable(hash_)

    accounts.external_users.create(USER)
    accounts.external_users.list(include_inactive=True).all()
    accounts.external_users.get(USER)
    accounts.external_users.update(USER, is_active=False)
    accounts.external_users.delete(USER)

    accounts.guardrails.create(
        "g", limit_usd=1.5, reset_interval="weekly", allowed_models=["openai/gpt-4o-mini"],
        ignored_providers=("azure",), enforce_zdr_openai=True, workspace_id=workspace,
        content_filters=[{"action": "block", "pattern": "x"}],
    )  # fmt: skip
    accounts.guardrails.list(workspace_id=workspace).all()
    accounts.guardrails.get("guardrail-1")
    accounts.guardrails.update("guardrail-1", name="h", allowed_models=None)
    accounts.guardrails.assign_keys("guardrail-1", [hash_])
    accounts.guardrails.key_assignments("guardrail-1").all()
    accounts.guardrails.key_assignments().all()
    accounts.guardrails.remove_keys("guardrail-1", [hash_])
    accounts.guardrails.delete("guardrail-1")

    accounts.workspaces.create("W", "w", description="d")
    accounts.workspaces.list().all()
    accounts.workspaces.get(workspace)
    accounts.workspaces.update(workspace, name="X")

    accounts.workspaces.set_budget(workspace, 9, "monthly", include_byok=True)
    accounts.workspaces.budgets(workspace)
    accounts.workspaces.delete_budget(workspace, "monthly")

    accounts.byok.create("openai", OWN, allowed_models=["openai/gpt-4o-mini"])
    accounts.byok.list(provider="openai").all()
    accounts.byok.get("credential-1")
    accounts.byok.update("credential-1", key=OWN, disabled=True)
    accounts.byok.delete("credential-1")

    accounts.activity(group_by="workspace")
    accounts.activity(date="2026-11-01", key=hash_)
    accounts.credits()
    accounts.keys.delete(hash_)


@pytest.mark.parametrize(
    "kind", [KeyRecord, ExternalUser, KeyAssignment, ActivityRow, Credits, WorkspaceBudget]
)
def test_values_have_every_field_of_the_sdks(sdk, kind):
    """No field of a row is left out."""
    fields = {field.name for field in dataclasses.fields(kind)}

    assert set(sdk[0]["fields"][kind.__name__]) <= fields


POSITIONAL = {
    KeyFields: {"name": "name", "external": "external_user"},
    GuardrailFields: {"name": "name"},
    WorkspaceFields: {"name": "name", "slug": "slug"},
    ByokFields: {"provider": "provider", "key": "key"},
}


@pytest.mark.parametrize(
    "kind",
    [KeyFields, KeyChanges, GuardrailFields, GuardrailChanges, WorkspaceFields, WorkspaceChanges, ByokFields, ByokChanges],
)  # fmt: skip
def test_every_field_of_the_sdks_requests_can_be_sent(sdk, kind):
    """As a keyword, or as an argument of its own."""
    ours = set(kind.__annotations__) | set(POSITIONAL.get(kind, ()))

    assert set(sdk[0]["fields"][kind.__name__]) <= ours
