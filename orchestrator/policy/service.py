"""Asks the policy; without a decision, everything is denied."""

import structlog

from mesh.security.caller import Caller, Scope
from orchestrator.policy.errors import PolicyDenied, PolicyUnavailable
from orchestrator.policy.model import Action, Denial, PolicyAgent, Question
from orchestrator.policy.ports import DenialLog, Policy

log = structlog.get_logger()

UNAVAILABLE = "policy_unavailable"
"""`details.cause` of a denial for lack of a decision."""
_NOBODY_SAID_WHY = "unnamed"


class PolicyService:
    """Decides about actions; denies them if the policy cannot be evaluated."""

    def __init__(self, policy: Policy, denials: DenialLog) -> None:
        self._policy = policy
        self._denials = denials

    async def check(self, who: Caller, action: Action, agent: PolicyAgent | None = None) -> None:
        """Returns if the caller may do it. Raises PolicyDenied if not, or if the policy cannot be evaluated."""
        await self._decide(Question(who, action, agent), f"{action.value} {agent.agent_id}" if agent else action.value)

    async def permit(self, who: Caller, scope: Scope, method: str) -> None:
        """The same for an rpc that needs `scope`, regardless of the objects it touches."""
        await self._decide(Question(who, Action(scope.value)), method)

    def denied(self, who: Caller, what: str, rule: str) -> None:
        """Records a denial that a service decided itself, such as a scope that a new API key may not have."""
        self._denials.denied(who, what, rule)

    def administered(self, who: Caller, what: str, owner_id: int) -> None:
        """Records that the caller changed an object of `owner_id`, unless it is their own."""
        if owner_id != who.user_id:
            self._denials.administered(who, what, owner_id)

    async def _decide(self, question: Question, what: str) -> None:
        try:
            if await self._policy.allows(question):
                return
        except PolicyUnavailable as problem:
            log.error("policy_unavailable", problem=str(problem))
            self._denials.denied(question.caller, what, UNAVAILABLE)
            message = "the policy cannot be evaluated, so everything is denied; try again later, or tell the operator"
            raise PolicyDenied(message, cause=UNAVAILABLE) from problem
        denial = await self._why(question)
        self._denials.denied(question.caller, what, denial.rule)
        raise _denied(question, denial)

    async def _why(self, question: Question) -> Denial:
        try:
            denial = await self._policy.denial(question)
        except PolicyUnavailable as problem:
            log.error("policy_unavailable", problem=str(problem))
            denial = None
        return denial or Denial(_NOBODY_SAID_WHY)


def _denied(question: Question, denial: Denial) -> PolicyDenied:
    what = f"{question.action.value} agent '{question.agent.agent_id}'" if question.agent else question.action.value
    if denial.scope:
        message = f"this API key may not {what}: it lacks the scope '{denial.scope}'; use a key that has it"
        return PolicyDenied(message, rule=denial.rule, scope=denial.scope)
    message = f"the policy does not let user '{question.caller.username}' {what} (rule {denial.rule}); ask an administrator"
    return PolicyDenied(message, rule=denial.rule)
