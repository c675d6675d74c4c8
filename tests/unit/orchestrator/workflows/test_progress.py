"""The rules by which a run progresses."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from orchestrator.executions.model import Failure
from orchestrator.workflows.assignment import AgentMissing, AttemptFailed, Completed, HandedBack, Outcome, Spent
from orchestrator.workflows.model import Decision, Retry, Run, RunState, Step, StepApproval, StepState
from orchestrator.workflows.progress.progress import Progress
from orchestrator.workflows.progress.step_progress import StepProgress

NOW = datetime(2026, 11, 26, tzinfo=UTC)
ME, OTHER = uuid4(), uuid4()
LEASE = 5.0
BROKEN = Failure("LLM_API_ERROR", "overloaded", {}, retryable=True)
NOTHING = Spent()
PATIENT = Retry()


def step(task_id: str, *after: str, retry: Retry = PATIENT, approval: StepApproval | None = None) -> StepProgress:
    return StepProgress(Step(task_id, "agent", StepState.PENDING, approval=approval), after, retry, waiting=len(after))


def started(*records: StepProgress) -> Progress:
    progress = Progress(Run(uuid4(), uuid4(), 7, RunState.PENDING, 0, "req_1", NOW), records, NOW)
    progress.start()
    return progress


def states(progress: Progress) -> dict[str, StepState]:
    return {task_id: record.step.state for task_id, record in progress.records.items()}


def types(progress: Progress) -> Sequence[str]:
    return [event.event_type for event in progress.events]


def test_changes_are_numbered_without_gaps_and_steps_precede_their_run() -> None:
    progress = started(step("a"))
    progress.begin("a", ME, LEASE)
    progress.report("a", ME, 1, Completed("x"), NOTHING)
    assert [change.sequence for change in progress.changes] == [1, 2, 3, 4, 5, 6]
    assert [change.subject.state for change in progress.changes] == ["pending", "ready", "running", "running", "completed", "completed"]
    assert progress.run.sequence == 6


def test_a_step_is_claimed_once_and_only_when_it_is_due() -> None:
    progress = started(step("a"), step("b", "a"))
    assert not progress.begin("b", ME, LEASE)
    assert not progress.begin("nobody", ME, LEASE)
    assert progress.begin("a", ME, LEASE)
    assert not progress.begin("a", OTHER, LEASE)
    progress.records["a"].step = Step("a", "agent", StepState.READY)
    progress.records["a"].due_at = NOW + timedelta(seconds=1)
    assert not progress.begin("a", ME, LEASE)


@pytest.mark.parametrize(("owner", "epoch"), [(OTHER, 1), (ME, 0), (ME, 2)])
def test_only_the_current_owner_of_a_step_can_report_its_outcome(owner: UUID, epoch: int) -> None:
    progress = started(step("a"))
    progress.begin("a", ME, LEASE)
    assert not progress.report("a", owner, epoch, Completed("x"), NOTHING)
    assert states(progress) == {"a": StepState.RUNNING}


@pytest.mark.parametrize(("asked", "wait"), [(0.0, 12.5), (40.0, 50.0)])
def test_a_retry_is_spread_over_part_of_its_delay(asked: float, wait: float) -> None:
    progress = started(step("a", retry=Retry(max_attempts=4, delay_seconds=10)))
    progress.begin("a", ME, LEASE)
    progress.report("a", ME, 1, AttemptFailed(BROKEN, asked, spread=0.25), NOTHING)
    assert progress.records["a"].due_at == NOW + timedelta(seconds=wait)


def test_each_delay_is_the_previous_one_times_the_backoff() -> None:
    progress = started(step("a", retry=Retry(max_attempts=4, delay_seconds=10, backoff=2)))
    delays = []
    for epoch in (1, 2, 3):
        progress.records["a"].due_at = NOW
        assert progress.begin("a", ME, LEASE)
        progress.report("a", ME, epoch, AttemptFailed(BROKEN), NOTHING)
        due_at = progress.records["a"].due_at
        assert due_at is not None
        delays.append((due_at - NOW).total_seconds())
    assert delays == [10, 20, 40]
    progress.records["a"].due_at = NOW
    progress.begin("a", ME, LEASE)
    progress.report("a", ME, 4, AttemptFailed(BROKEN), NOTHING)
    assert (progress.run.state, progress.run.failed_task) == (RunState.FAILED, "a")


def test_a_returned_step_and_a_crash_consume_no_attempt() -> None:
    progress = started(step("a", retry=Retry(max_attempts=1)))
    progress.begin("a", ME, LEASE)
    progress.report("a", ME, 1, HandedBack(), NOTHING)
    assert progress.records["a"].step.attempts == 0
    progress.begin("a", ME, LEASE)
    progress.records["a"].lease_until = NOW
    progress.lease_expired("a", NOTHING, crash_limit=5)
    progress.begin("a", ME, LEASE)
    assert progress.report("a", ME, 3, AttemptFailed(BROKEN), NOTHING)
    assert progress.run.state is RunState.FAILED


@pytest.mark.parametrize(("spent", "most"), [(NOTHING, 2), (Spent(uuid4(), answered=True), 4)])
def test_a_step_that_keeps_losing_its_worker_fails_later_if_its_answer_is_recorded(spent: Spent, most: int) -> None:
    progress = started(step("a"))
    for crash in range(1, most + 1):
        progress.begin("a", ME, LEASE)
        progress.records["a"].lease_until = NOW
        progress.lease_expired("a", spent, crash_limit=2)
        assert progress.run.state.final == (crash == most)
    assert progress.run.state is RunState.FAILED


def test_a_renewed_lease_is_not_lost() -> None:
    progress = started(step("a"))
    progress.begin("a", ME, LEASE)
    progress.lease_expired("a", NOTHING, crash_limit=5)
    assert states(progress) == {"a": StepState.RUNNING}


def test_a_run_fails_once_its_last_running_step_has_stopped() -> None:
    progress = started(step("bad"), step("slow"), step("later", "bad", "slow"))
    for task_id in ("bad", "slow"):
        progress.begin(task_id, ME, LEASE)
    progress.report("bad", ME, 1, AttemptFailed(Failure("GUARDRAIL_BLOCKED", "no", {}, retryable=False)), NOTHING)
    assert progress.stops_steps
    assert states(progress) == {"bad": StepState.FAILED, "slow": StepState.RUNNING, "later": StepState.CANCELLED}
    assert progress.report("slow", ME, 1, Completed("too late"), NOTHING)
    assert progress.run.state is RunState.FAILED
    assert progress.records["slow"].step.result == ""
    assert types(progress) == ["workflow.started", "workflow.failed"]


def test_cancelling_a_failing_run_leaves_it_failing() -> None:
    progress = started(step("bad"), step("slow"))
    for task_id in ("bad", "slow"):
        progress.begin(task_id, ME, LEASE)
    progress.report("bad", ME, 1, AttemptFailed(Failure("GUARDRAIL_BLOCKED", "no", {}, retryable=False)), NOTHING)
    progress.cancel()
    progress.report("slow", ME, 1, HandedBack(), NOTHING)
    assert progress.run.state is RunState.FAILED


def test_nothing_changes_a_final_run() -> None:
    progress = started(step("a"))
    progress.cancel()
    assert progress.run.state is RunState.CANCELLED
    changes = len(progress.changes)
    progress.cancel()
    assert not progress.begin("a", ME, LEASE)
    assert not progress.report("a", ME, 1, Completed("x"), NOTHING)
    assert not progress.decide("a", Decision.APPROVED, 7, "")
    assert len(progress.changes) == changes


def test_an_approval_is_requested_when_the_step_is_due() -> None:
    asked = StepApproval("May I?", 60, Decision.REJECTED)
    progress = started(step("a"), step("b", "a", approval=asked))
    assert types(progress) == ["workflow.started"]
    progress.begin("a", ME, LEASE)
    progress.report("a", ME, 1, Completed("x"), NOTHING)
    assert progress.begin_successor("a", ME, LEASE) is None
    approval = progress.records["b"].step.approval
    assert approval is not None
    assert approval.expires_at == NOW + timedelta(seconds=60)
    assert progress.run.state is RunState.WAITING_APPROVAL
    assert types(progress)[-1] == "workflow.approval_requested"
    progress.approval_timed_out("b")
    assert progress.run.state is RunState.WAITING_APPROVAL, "the deadline of the approval has not passed"


def test_a_step_whose_agent_is_missing_waits_uncounted_and_fails_after_a_minute() -> None:
    missing = Failure("AGENT_NOT_FOUND", "not in the catalogue", {}, retryable=False)
    progress, record = started(one := step("a", retry=Retry(max_attempts=1))), one
    for seconds in (0, 2, 58):
        progress.now = NOW + timedelta(seconds=seconds)
        assert progress.begin("a", ME, LEASE)
        assert progress.report("a", ME, record.epoch, AgentMissing(missing), NOTHING)
        assert (record.step.state, record.step.attempts) == (StepState.READY, 0)
        assert record.due_at == progress.now + timedelta(seconds=2)
    progress.now = NOW + timedelta(seconds=60)
    assert progress.begin("a", ME, LEASE)
    assert progress.report("a", ME, record.epoch, AgentMissing(missing), NOTHING)
    assert (progress.run.state, progress.run.failure) == (RunState.FAILED, missing)


def test_the_wait_starts_again_if_an_agent_returns_and_disappears() -> None:
    missing = Failure("AGENT_NOT_FOUND", "not in the catalogue", {}, retryable=False)
    progress, record = started(one := step("a")), one
    outcomes: list[tuple[int, Outcome, Spent]] = [
        (0, AgentMissing(missing), NOTHING),
        (10, AttemptFailed(BROKEN), Spent(uuid4())),
        (65, AgentMissing(missing), NOTHING),
    ]
    for seconds, outcome, spent in outcomes:
        progress.now = NOW + timedelta(seconds=seconds)
        assert progress.begin("a", ME, LEASE)
        assert progress.report("a", ME, record.epoch, outcome, spent)
    assert record.step.state is StepState.READY
