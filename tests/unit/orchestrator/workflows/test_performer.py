"""One attempt of a step: what happens after a failed call."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

import pytest

from catalogue.errors import AgentNotFound
from catalogue.prompt import result_block
from mesh.errors import MeshError, RemoteError
from mesh.rpc.status import retryable
from mesh.security.caller import Role
from orchestrator.executions.facts import AnswerFacts, StopReason
from orchestrator.executions.model import StepRef, Work
from orchestrator.executions.ports import OnText
from orchestrator.executions.service import Answered, ExecutionService
from orchestrator.executions.stop import StopSignal
from orchestrator.identity.model import Authority, Principal
from orchestrator.workflows.assignment import AgentMissing, Assignment, AttemptFailed, Completed, LeaseId, Outcome
from orchestrator.workflows.authority import RunAuthority
from orchestrator.workflows.engine.performer import RETRY_SPREAD, StepPerformer
from orchestrator.workflows.live.model import LiveHead
from orchestrator.workflows.model import OnIncomplete
from tests.unit.orchestrator.making import BILL

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


class AllAllowed:
    """Users whose grants are all valid."""

    async def of(self, principals: Collection[Principal]) -> Mapping[Principal, Authority]:
        return dict.fromkeys(principals, Authority("ada", Role.USER))


class RateLimited:
    """Calls that the provider refuses."""

    async def execute(self, *_: Any, **__: Any) -> Any:
        raise RemoteError("LLM_API_ERROR", "rate_limit_error", retryable=True, retry_after_seconds=7)


class Shown:
    """Keeps the live texts that a performer shows."""

    def __init__(self) -> None:
        self.texts: list[tuple[StepRef, LiveHead, str]] = []
        self.ended: list[tuple[StepRef, int]] = []

    def grow(self, step: StepRef, head: LiveHead, piece: str) -> None:
        self.texts.append((step, head, piece))

    def end(self, step: StepRef, epoch: int) -> None:
        self.ended.append((step, epoch))


async def test_steps_refused_together_are_retried_at_different_times() -> None:
    authority = RunAuthority(AllAllowed(), cast(Any, None), cast(Any, None))
    performer = StepPerformer(cast(ExecutionService, RateLimited()), authority, retryable, Shown())
    outcomes = [await performer.perform(ASSIGNMENT, StopSignal()) for _ in range(20)]
    failed = [outcome for outcome in outcomes if isinstance(outcome, AttemptFailed)]
    assert len(failed) == 20
    assert {outcome.retry_after_seconds for outcome in failed} == {7}
    spreads = {outcome.spread for outcome in failed}
    assert all(0 <= spread <= RETRY_SPREAD for spread in spreads)
    assert max(spreads) - min(spreads) > RETRY_SPREAD / 10


class Answering:
    """Calls that end as the test sets."""

    def __init__(self, outcome: Answered | MeshError) -> None:
        self._outcome = outcome
        self.inputs: list[str] = []

    async def execute(self, work: Work, *_: Any, **__: Any) -> Answered:
        self.inputs.append(work.input)
        if isinstance(self._outcome, MeshError):
            raise self._outcome
        return self._outcome


async def outcome_of(outcome: Answered | MeshError, on_incomplete: OnIncomplete = OnIncomplete.FAIL) -> Outcome:
    authority = RunAuthority(AllAllowed(), cast(Any, None), cast(Any, None))
    performer = StepPerformer(cast(ExecutionService, Answering(outcome)), authority, retryable, Shown())
    return await performer.perform(replace(ASSIGNMENT, on_incomplete=on_incomplete), StopSignal())


def answered(stop_reason: StopReason) -> Answered:
    return Answered(UUID(int=5), "Helper", "half a te", 1.0, {}, BILL, AnswerFacts(stop_reason=stop_reason))


@pytest.mark.parametrize("reason", [StopReason.REFUSAL, StopReason.MAX_TOKENS, StopReason.CONTEXT_WINDOW])
async def test_an_incomplete_answer_fails_the_step_unless_the_task_accepts_it(reason: StopReason) -> None:
    failed = await outcome_of(answered(reason))
    assert isinstance(failed, AttemptFailed)
    assert (failed.failure.reason, failed.failure.retryable) == ("ANSWER_INCOMPLETE", False)
    assert failed.failure.details == {"stop_reason": reason.value, "execution_id": str(UUID(int=5))}
    assert await outcome_of(answered(reason), OnIncomplete.USE) == Completed("half a te")


@pytest.mark.parametrize("reason", [StopReason.END_TURN, StopReason.STOP_SEQUENCE, StopReason.LIMIT, StopReason.UNSPECIFIED])
async def test_a_complete_answer_completes_the_step(reason: StopReason) -> None:
    assert await outcome_of(answered(reason)) == Completed("half a te")


@pytest.mark.parametrize(("stop_reason", "used"), [("max_tokens", True), ("model_context_window_exceeded", True), ("pause_turn", False)])
async def test_an_answer_truncated_before_its_first_word_is_accepted_as_empty(stop_reason: str, used: bool) -> None:
    error = RemoteError("ANSWER_INCOMPLETE", "no text", retryable=False, details={"stop_reason": stop_reason})
    assert (await outcome_of(error, OnIncomplete.USE) == Completed("")) is used
    failed = await outcome_of(error)
    assert isinstance(failed, AttemptFailed)
    assert not failed.failure.retryable


async def test_a_step_waits_for_a_missing_agent() -> None:
    assert isinstance(await outcome_of(AgentNotFound("gone", agent_id="own_helper_agent_1_1")), AgentMissing)


@pytest.mark.parametrize(("background", "sent"), [(False, f"use {result_block('b', 'this')}"), (True, "use {{tasks.b.result}}")])
async def test_references_are_resolved_in_the_steps_of_workflows(background: bool, sent: str) -> None:
    calls = Answering(answered(StopReason.END_TURN))
    authority = RunAuthority(AllAllowed(), cast(Any, None), cast(Any, None))
    performer = StepPerformer(cast(ExecutionService, calls), authority, retryable, Shown())
    assignment = replace(ASSIGNMENT, input="use {{tasks.b.result}}", results={"b": "this"}, background=background)
    await performer.perform(assignment, StopSignal())
    assert calls.inputs == [sent]


class Writing:
    """Calls whose answer comes in two pieces, if the caller listens."""

    async def execute(self, work: Work, seconds: float, stop: StopSignal, on_text: OnText | None) -> Answered:
        for piece in ("", "half ", "a te"):
            if on_text is not None:
                on_text(UUID(int=5), piece)
        return answered(StopReason.END_TURN)

    def step_committed(self, step: StepRef) -> None: ...


@pytest.mark.parametrize("background", [True, False])
async def test_only_the_text_of_background_executions_is_shown(background: bool) -> None:
    shown = Shown()
    authority = RunAuthority(AllAllowed(), cast(Any, None), cast(Any, None))
    performer = StepPerformer(cast(ExecutionService, Writing()), authority, retryable, shown)
    assignment = replace(ASSIGNMENT, lease_id=LeaseId(UUID(int=1), "a", 3), attempt=2, background=background)
    assert await performer.perform(assignment, StopSignal()) == Completed("half a te")
    performer.reported(assignment)
    step, head = StepRef(UUID(int=1), "a"), LiveHead(3, 2, UUID(int=5))
    assert shown.texts == ([(step, head, ""), (step, head, "half "), (step, head, "a te")] if background else [])
    assert shown.ended == ([(step, 3)] if background else [])
