"""Questions to the policy, and its answers."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mesh.security.caller import Caller


class Action(StrEnum):
    """What a caller wants to do."""

    READ = "read"
    EXECUTE = "execute"
    MANAGE = "manage"
    ADMINISTER = "administer"
    """Change the accounts of other users."""
    INSPECT = "inspect"
    """See the accounts of other users and the audit log."""


@dataclass(frozen=True, slots=True)
class PolicyAgent:
    """What the policy sees of an agent."""

    agent_id: str
    category: str
    role: str


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a caller may do something, perhaps with one agent."""

    caller: Caller
    action: Action
    agent: PolicyAgent | None = None

    def document(self) -> dict[str, Any]:
        """The `input` of the policy, as described in deploy/policy/README.md."""
        caller, agent = self.caller, self.agent
        user = {
            "user_id": caller.user_id,
            "username": caller.username,
            "role": caller.role.value,
            "scopes": sorted(caller.scopes),
        }
        document: dict[str, Any] = {"user": user, "action": self.action.value}
        if agent is not None:
            document["agent"] = {"agent_id": agent.agent_id, "category": agent.category, "role": agent.role}
        return document


@dataclass(frozen=True, slots=True)
class Denial:
    """The rule that denies a question, and the scope that the credential lacks, if that is why."""

    rule: str
    scope: str = ""

    @classmethod
    def of(cls, document: object) -> "Denial | None":
        """The denial in the policy's answer; None if it is not one."""
        if not isinstance(document, dict) or not isinstance(rule := document.get("rule"), str):
            return None
        return cls(rule, str(document.get("scope", "")))
