"""One attempt of a step: what becomes of a call that fails."""

from collections.abc import Collection, Mapping
from typing import Any, cast
from uuid import UUID

from mesh.errors import RemoteError
from mesh.rpc.status import retryable
from mesh.security.caller import Role
from orchestrator.executions.service import ExecutionService
from orchestrator.executions.stop import StopSignal
from orchestrator.identity.model import Authority, Principal
from orchestrator.workflows.assignment import Assignment, AttemptFailed, LeaseId
from orchestrator.workflows.authority import RunAuthority
from orchestrator.workflows.engine.performer import RETRY_SPREAD, StepPerformer

ASSIGNMENT = Assignment(
    lease_id=LeaseId(UUID(int=1), "a", 1),
    attempt=1,
    agent_id="own_helper_agent_1_1",
    input="How do we rank?",
    results={},
    context=None,
    timeout_seconds=120,
    principal=Principal(7),
    request_id="req_1",
)


class EverybodyMay:
    """Users who have lost nothing."""

    async def of(self, principals: Collection[Principal]) -> Mapping[Principal, Authority]:
        return dict.fromkeys(principals, Authority("ada", Role.USER))


class RateLimited:
    """Calls that the provider refuses."""

    async def execute(self, *_: Any, **__: Any) -> Any:
        raise RemoteError("LLM_API_ERROR", "rate_limit_error", retryable=True, retry_after_seconds=7)


async def test_steps_that_are_refused_together_do_not_come_back_together() -> None:
    authority = RunAuthority(EverybodyMay(), cast(Any, None), cast(Any, None))
    performer = StepPerformer(cast(ExecutionService, RateLimited()), authority, retryable)
    outcomes = [await performer.perform(ASSIGNMENT, StopSignal()) for _ in range(20)]
    failed = [outcome for outcome in outcomes if isinstance(outcome, AttemptFailed)]
    assert len(failed) == 20
    assert {outcome.retry_after_seconds for outcome in failed} == {7}
    spreads = {outcome.spread for outcome in failed}
    assert all(0 <= spread <= RETRY_SPREAD for spread in spreads)
    assert max(spreads) - min(spreads) > RETRY_SPREAD / 10
