"""The account: keys for users who have none at OpenRouter, their limits and what they spent.

```python
accounts = Accounts()  # OPENROUTER_MANAGEMENT_KEY
created = accounts.keys.create("alice", limit=5, external_user="alice")
model.for_user(created.key).invoke("Hello")
```
"""

from __future__ import annotations

from langchain_openrouter._http.api_key import ManagementKey
from langchain_openrouter.accounts._accounts import Accounts
from langchain_openrouter.accounts._created_key import CreatedKey
from langchain_openrouter.accounts._fields import (
    ByokChanges,
    ByokFields,
    GuardrailChanges,
    GuardrailFields,
    KeyChanges,
    KeyFields,
    WorkspaceChanges,
    WorkspaceFields,
)
from langchain_openrouter.accounts._key_types import ActivityRow, Credits, ExternalUser, KeyRecord
from langchain_openrouter.accounts._listing import AsyncListing, Listing
from langchain_openrouter.accounts._policy_types import (
    ByokKey,
    Guardrail,
    KeyAssignment,
    Workspace,
    WorkspaceBudget,
)
from langchain_openrouter.accounts._provisioned_keys import ProvisionedKeys
from langchain_openrouter.accounts._rows import Rows
from langchain_openrouter.accounts._sweep_report import SweepAction, SweepKind, SweepReport
from langchain_openrouter.accounts._user_usage import UserUsage
from langchain_openrouter.accounts._workload_identity import WorkloadIdentity

__all__ = [
    "Accounts",
    "ActivityRow",
    "AsyncListing",
    "ByokChanges",
    "ByokFields",
    "ByokKey",
    "CreatedKey",
    "Credits",
    "ExternalUser",
    "Guardrail",
    "GuardrailChanges",
    "GuardrailFields",
    "KeyAssignment",
    "KeyChanges",
    "KeyFields",
    "KeyRecord",
    "Listing",
    "ManagementKey",
    "ProvisionedKeys",
    "Rows",
    "SweepAction",
    "SweepKind",
    "SweepReport",
    "UserUsage",
    "WorkloadIdentity",
    "Workspace",
    "WorkspaceBudget",
    "WorkspaceChanges",
    "WorkspaceFields",
]
