"""Questions and the decisions that every implementation of the policy must return."""

from dataclasses import dataclass, replace
from uuid import uuid4

from mesh.security.caller import EVERY_SCOPE, Caller, Role, Scope
from orchestrator.policy.model import Action, Denial, PolicyAgent, Question

RESTRICTIONS = """\
  restricted:
    agents: {finance_payment_clerk_agent_1_412: {roles: [admin], users: [ada]}}
    roles: {payment_clerk: {roles: [admin], users: [ada, bob]}}
    categories: {legal: {roles: [admin]}}
"""
BOB = Caller(7, "bob")
ADA = Caller(8, "ada")
ROOT = Caller(1, "root", Role.ADMIN)
OPEN = PolicyAgent("marketing_seo_strategist_agent_1_1", "marketing", "seo_strategist")
CLERK = PolicyAgent("finance_payment_clerk_agent_1_412", "finance", "payment_clerk")
OTHER_CLERK = PolicyAgent("finance_payment_clerk_agent_1_413", "finance", "payment_clerk")
LAWYER = PolicyAgent("legal_counsel_agent_1_9", "legal", "counsel")


def with_key(caller: Caller, *scopes: Scope) -> Caller:
    """The same user with an API key that has these scopes."""
    return replace(caller, scopes=frozenset(scopes), api_key_id=uuid4())


@dataclass(frozen=True)
class Case:
    """A question and its decision; no denial means that it is allowed."""

    name: str
    question: Question
    denial: Denial | None = None


def _case(name: str, caller: Caller, action: Action, agent: PolicyAgent | None = None, *denied: str) -> Case:
    return Case(name, Question(caller, action, agent), Denial(*denied) if denied else None)


CASES = [
    *(_case(f"a user may {action}", BOB, action) for action in (Action.READ, Action.EXECUTE, Action.MANAGE)),
    *(_case(f"an administrator may {action}", ROOT, action) for action in Action),
    _case("a user does not administer", BOB, Action.ADMINISTER, None, "role_may_not"),
    _case("a user does not inspect", BOB, Action.INSPECT, None, "role_may_not"),
    _case("an administrator's key to read inspects", with_key(ROOT, Scope.READ), Action.INSPECT),
    _case("a key to read reads", with_key(BOB, Scope.READ), Action.READ),
    _case("a key to read has no agent work", with_key(BOB, Scope.READ), Action.EXECUTE, OPEN, "missing_scope", "execute"),
    _case("a key to execute executes", with_key(BOB, Scope.EXECUTE), Action.EXECUTE, OPEN),
    _case("a key to execute does not read", with_key(BOB, Scope.EXECUTE), Action.READ, None, "missing_scope", "read"),
    _case("a key to execute makes nothing", with_key(BOB, Scope.EXECUTE), Action.MANAGE, None, "missing_scope", "manage"),
    _case("an administrator's key is held to its scopes", with_key(ROOT, Scope.READ), Action.ADMINISTER, None, "missing_scope", "manage"),
    _case("a key without scopes does nothing", with_key(ROOT), Action.READ, None, "missing_scope", "read"),
    _case("a key with every scope is as good as a token", with_key(BOB, *EVERY_SCOPE), Action.EXECUTE, OPEN),
    _case("an agent that is not restricted works for a user", BOB, Action.EXECUTE, OPEN),
    _case("a restricted agent does not work for a user", BOB, Action.EXECUTE, CLERK, "restricted_agent"),
    _case("a restricted agent works for the user who is named", ADA, Action.EXECUTE, CLERK),
    _case("a restricted agent works for the role that is named", ROOT, Action.EXECUTE, CLERK),
    _case("a restricted agent can be looked at", BOB, Action.READ, CLERK),
    _case("a restricted role admits whom it names", BOB, Action.EXECUTE, OTHER_CLERK),
    _case("a restricted role shuts out the others", Caller(9, "eve"), Action.EXECUTE, OTHER_CLERK, "restricted_role"),
    _case("a restricted category shuts users out", ADA, Action.EXECUTE, LAWYER, "restricted_category"),
    _case("a restricted category admits administrators", ROOT, Action.EXECUTE, LAWYER),
    _case("a name like another's is another", Caller(9, "Ada"), Action.EXECUTE, CLERK, "restricted_agent"),
    _case("a name that is a rule is a name", Caller(9, '"ada"]}'), Action.EXECUTE, CLERK, "restricted_agent"),
]
