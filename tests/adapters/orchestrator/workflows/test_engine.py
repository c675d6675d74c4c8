"""How runs progress: the real stores and dispatchers with the real PostgreSQL; the agents are scripted."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from orchestrator.executions.model import Failure
from orchestrator.workflows.assignment import Assignment, AttemptFailed, Completed, Outcome
from orchestrator.workflows.errors import ApprovalNotPending, WorkflowAlreadyRunning, WorkflowNotRunning
from orchestrator.workflows.model import Approval, Decision, Retry, Run, RunState, Step, StepState
from tests.adapters.orchestrator.workflows.engine import BROKEN, FAST, OWNER, PACE, REFUSED, Agents, Runs, task, worker, workflow_of
from tests.support.waiting import eventually

FINAL = (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED)


async def test_a_sequence_runs_in_order_and_passes_results_on(runs: Runs, agents: Agents, books_url: str) -> None:
    run = await runs.start(task("a"), task("b", input="go on from {{tasks.a.result}}"), task("c"))
    async with worker(books_url, agents):
        ended = await runs.reaches(run, *FINAL)
    assert ended.state is RunState.COMPLETED
    assert agents.begun == ["a", "b", "c"]
    assert [step.result for step in ended.steps] == ["answer of a", "answer of b", "answer of c"]
    assert await runs.events(run) == ["workflow.started", "workflow.completed"]


@pytest.mark.parametrize(
    ("message", "stored"), [("a\x00b", "ab"), ("a\\u0000b", "a\\u0000b"), ("\\\x00", "\\")], ids=["nul", "escape", "both"]
)
async def test_a_failure_is_recorded_whatever_characters_its_message_has(runs: Runs, books_url: str, message: str, stored: str) -> None:
    """PostgreSQL cannot store U+0000, so it is omitted; the six characters of its JSON escape are ordinary text."""
    run = await runs.start(task("a"))
    failing = Agents(lambda _: AttemptFailed(Failure("GUARDRAIL_BLOCKED", message, {"cause": message}, retryable=False)))
    async with worker(books_url, failing):
        ended = await runs.reaches(run, *FINAL)
    assert failing.begun == ["a"]
    assert ended.failure == Failure("GUARDRAIL_BLOCKED", stored, {"cause": stored}, retryable=False)


async def test_changes_are_numbered_without_gaps_and_the_run_knows_the_last(runs: Runs, agents: Agents, books_url: str) -> None:
    run = await runs.start(task("a"), task("b"))
    async with worker(books_url, agents):
        ended = await runs.reaches(run, *FINAL)
    changes = await runs.store.changes(run.run_id, 0, 1000)
    assert [change.sequence for change in changes] == list(range(1, ended.sequence + 1))
    assert isinstance(changes[-1].subject, Run)
    assert changes[-1].subject.state is RunState.COMPLETED
    completed = [c.subject for c in changes if isinstance(c.subject, Step) and c.subject.state is StepState.COMPLETED]
    assert [step.result for step in completed] == ["answer of a", "answer of b"]
    assert await runs.store.changes(run.run_id, ended.sequence, 10) == []


async def test_independent_steps_run_concurrently_and_a_join_waits_for_both(runs: Runs, agents: Agents, books_url: str) -> None:
    agents.hold("b", "c")
    run = await runs.start(task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"))
    async with worker(books_url, agents):
        await eventually(lambda: {"b", "c"} <= set(agents.begun))
        agents.gates["b"].set()
        await eventually(lambda: _is(runs, run, "b", StepState.COMPLETED))
        assert "d" not in agents.begun
        agents.gates["c"].set()
        assert (await runs.reaches(run, *FINAL)).state is RunState.COMPLETED
    assert agents.begun[-1] == "d"


async def test_two_last_predecessors_that_finish_together_start_their_successor_once(
    runs: Runs, books_url: str, no_deadlocks: None
) -> None:
    fans = [task(f"p{n}") for n in range(6)]
    started = [await runs.start(*fans, task("last", *(fan.id for fan in fans))) for _ in range(10)]
    one, other = Agents(), Agents()
    async with worker(books_url, one), worker(books_url, other):
        for run in started:
            assert (await runs.reaches(run, *FINAL)).state is RunState.COMPLETED
    begun = one.begun + other.begun
    assert begun.count("last") == len(started)
    assert len(begun) == 7 * len(started)


async def test_a_retryable_failure_is_retried_after_the_delay(runs: Runs, books_url: str) -> None:
    tries: list[int] = []

    def flaky(assignment: Assignment) -> Outcome:
        tries.append(assignment.attempt)
        return AttemptFailed(BROKEN) if assignment.attempt < 3 else Completed("at last")

    run = await runs.start(task("a", retry=FAST))
    async with worker(books_url, Agents(flaky)):
        ended = await runs.reaches(run, *FINAL)
    assert (ended.state, tries, ended.steps[0].attempts, ended.steps[0].failure) == (RunState.COMPLETED, [1, 2, 3], 3, None)


async def test_a_longer_retry_after_of_the_provider_is_honoured(runs: Runs, books_url: str) -> None:
    run = await runs.start(task("a", retry=Retry(2, 0.01)))
    async with worker(books_url, Agents(lambda _: AttemptFailed(BROKEN, retry_after_seconds=60))):
        step = await eventually(lambda: _waits_for_another_attempt(runs, run))
    assert step.started_at is not None
    assert step.next_attempt_at is not None
    assert (step.next_attempt_at - step.started_at).total_seconds() > 59


@pytest.mark.parametrize(("failure", "attempts"), [(BROKEN, 3), (REFUSED, 1)])
async def test_a_failed_step_fails_the_run_after_the_running_steps_have_stopped(
    runs: Runs, agents: Agents, books_url: str, failure: Failure, attempts: int
) -> None:
    agents.hold("slow")
    agents.script = lambda a: AttemptFailed(failure) if a.lease_id.task_id == "bad" else Completed("fine")
    run = await runs.start(task("first"), task("slow", "first"), task("bad", "first", retry=FAST), task("never", "slow", "bad"))
    async with worker(books_url, agents):
        ended = await runs.reaches(run, *FINAL)
    states = {step.task_id: step.state for step in ended.steps}
    assert ended.state is RunState.FAILED
    assert (ended.failed_task, ended.failure) == ("bad", failure)
    assert states == {
        "first": StepState.COMPLETED,
        "slow": StepState.CANCELLED,
        "bad": StepState.FAILED,
        "never": StepState.CANCELLED,
    }
    assert agents.stopped == ["slow"]
    assert agents.begun.count("bad") == attempts
    assert ended.steps[0].result == "fine"
    assert await runs.events(run) == ["workflow.started", "workflow.failed"]


async def test_cancelling_stops_running_steps_and_reports_them(runs: Runs, agents: Agents, books_url: str) -> None:
    agents.hold("a")
    run = await runs.start(task("a"), task("b"))
    async with worker(books_url, agents):
        await eventually(lambda: "a" in agents.begun)
        cancelling = await runs.store.cancel(OWNER, workflow_of(run))
        assert cancelling.state is RunState.CANCELLING
        ended = await runs.reaches(run, *FINAL)
    assert ended.state is RunState.CANCELLED
    assert [step.task_id for step in ended.stopped_steps] == ["a"]
    assert await runs.states(run) == {"a": StepState.CANCELLED, "b": StepState.CANCELLED}
    assert await runs.events(run) == ["workflow.started", "workflow.cancelled"]
    with pytest.raises(WorkflowNotRunning):
        await runs.store.cancel(OWNER, workflow_of(run))


async def test_a_run_without_running_steps_is_cancelled_at_once(runs: Runs) -> None:
    run = await runs.start(task("a"))
    assert (await runs.store.cancel(OWNER, workflow_of(run))).state is RunState.CANCELLED


async def test_a_cancel_concurrent_with_completion_has_one_final_state(runs: Runs, books_url: str, no_deadlocks: None) -> None:
    agents = Agents()
    async with worker(books_url, agents):
        for pause in range(20):
            run = await runs.start(task("a"), task("b"))
            await asyncio.sleep(pause / 2000)
            with suppress(WorkflowNotRunning):
                await runs.store.cancel(OWNER, workflow_of(run))
            ended = await runs.reaches(run, RunState.COMPLETED, RunState.CANCELLED)
            after = await runs.get(run)
            assert (after.state, after.sequence) == (ended.state, ended.sequence)
            assert len(await runs.events(run)) == 2


async def test_only_one_run_of_a_workflow_is_active(runs: Runs) -> None:
    run = await runs.start(task("a"))
    attempts = await asyncio.gather(*(runs.start_again(workflow_of(run), task("a")) for _ in range(5)), return_exceptions=True)
    assert [type(attempt) for attempt in attempts] == [WorkflowAlreadyRunning] * 5
    await runs.store.cancel(OWNER, workflow_of(run))
    attempts = await asyncio.gather(*(runs.start_again(workflow_of(run), task("a")) for _ in range(5)), return_exceptions=True)
    assert sorted(type(attempt).__name__ for attempt in attempts) == ["Run", *["WorkflowAlreadyRunning"] * 4]


async def test_a_step_waits_for_approval_while_other_steps_run(runs: Runs, agents: Agents, books_url: str) -> None:
    agents.hold("other")
    run = await runs.start(task("asked", approval=Approval("May I?")), task("other"), task("end", "asked", "other"))
    async with worker(books_url, agents):
        await eventually(lambda: "other" in agents.begun)
        assert (await runs.get(run)).state is RunState.RUNNING
        agents.gates["other"].set()
        await runs.reaches(run, RunState.WAITING_APPROVAL)
        decided = await runs.store.decide(OWNER, run.run_id, "asked", Decision.APPROVED, OWNER, "go")
        approval = decided.steps[0].approval
        assert approval is not None
        assert (approval.decision, approval.decided_by) == (Decision.APPROVED, OWNER)
        assert (await runs.reaches(run, *FINAL)).state is RunState.COMPLETED
        with pytest.raises(ApprovalNotPending):
            await runs.store.decide(OWNER, run.run_id, "asked", Decision.REJECTED, OWNER, "")
    assert await runs.events(run) == ["workflow.started", "workflow.approval_requested", "workflow.completed"]


async def test_a_rejected_step_fails_the_run(runs: Runs, agents: Agents, books_url: str) -> None:
    run = await runs.start(task("asked", approval=Approval("May I?")))
    assert run.state is RunState.WAITING_APPROVAL
    ended = await runs.store.decide(OWNER, run.run_id, "asked", Decision.REJECTED, OWNER, "no")
    assert ended.state is RunState.FAILED
    assert ended.failure is not None
    assert ended.failure.details["cause"] == "approval_rejected"


@pytest.mark.parametrize(("default", "state"), [(Decision.APPROVED, RunState.COMPLETED), (Decision.REJECTED, RunState.FAILED)])
async def test_an_unanswered_approval_is_decided_by_the_tasks_default(
    runs: Runs, agents: Agents, books_url: str, default: Decision, state: RunState
) -> None:
    run = await runs.start(task("asked", approval=Approval("May I?", 1, default)))
    async with worker(books_url, agents):
        ended = await runs.reaches(run, *FINAL)
    approval = ended.steps[0].approval
    assert approval is not None
    assert (ended.state, approval.decision, approval.decided_by) == (state, default, 0)


async def test_a_stopping_worker_returns_its_steps_uncounted(runs: Runs, books_url: str) -> None:
    first, second = Agents(), Agents()
    first.hold("a")
    run = await runs.start(task("a"))
    hasty = replace(PACE, drain=0.2)
    async with worker(books_url, first, hasty):
        await eventually(lambda: "a" in first.begun)
        first.gates = {}  # it stays closed: the drain ends before the step does
    assert first.stopped == ["a"]
    step = (await runs.get(run)).steps[0]
    assert (step.state, step.attempts) == (StepState.READY, 0)
    async with worker(books_url, second):
        ended = await runs.reaches(run, *FINAL)
    assert (ended.state, ended.steps[0].attempts) == (RunState.COMPLETED, 1)


async def test_a_stopping_worker_lets_its_steps_finish(runs: Runs, agents: Agents, books_url: str) -> None:
    agents.hold("a")
    run = await runs.start(task("a"), task("b"))
    async with worker(books_url, agents):
        await eventually(lambda: "a" in agents.begun)
    assert await runs.states(run) == {"a": StepState.COMPLETED, "b": StepState.READY}


async def _is(runs: Runs, run: Run, task_id: str, state: StepState) -> bool:
    return (await runs.states(run))[task_id] is state


async def _waits_for_another_attempt(runs: Runs, run: Run) -> Step | None:
    step = (await runs.get(run)).steps[0]
    return step if step.next_attempt_at is not None else None
