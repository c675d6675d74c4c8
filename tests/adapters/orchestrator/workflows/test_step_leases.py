"""What happens to the steps of a worker that died, was disconnected, or was suspended: its lease expires and its reports are ignored."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import pytest

from deploy.local.servers.postgres import PostgresServer
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.adapters.executions.sweeper import Sweeper
from orchestrator.adapters.workflows.steps import PostgresStepStore
from orchestrator.executions.books import new_id
from orchestrator.executions.model import Settlement, State, StepRef
from orchestrator.workflows.assignment import AttemptFailed, Completed, HandedBack, Report
from orchestrator.workflows.model import RunState, StepState
from tests.adapters.orchestrator.executions.relay import Relay
from tests.adapters.orchestrator.looking import Connection, cut_connections, expire
from tests.adapters.orchestrator.workflows.engine import BROKEN, OWNER, PACE, Agents, Runs, step_store, task, worker, workflow_of
from tests.support.waiting import eventually
from tests.unit.orchestrator.making import BILL, intent, keyed

FINAL = (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED)


@asynccontextmanager
async def store(url: str, lease: float = 0.2, crash_limit: int = 3) -> AsyncIterator[PostgresStepStore]:
    """The store of a worker that renews no lease by itself."""
    async with step_store(url, replace(PACE, lease=lease), crash_limit) as one:
        yield one


async def crashes(db: Connection, run_id: UUID) -> int:
    return int(await db.fetchval("SELECT crashes FROM steps WHERE run_id = $1", run_id))


async def test_the_step_of_a_dead_worker_is_claimed_by_another(runs: Runs, agents: Agents, books_url: str) -> None:
    run = await runs.start(task("a"))
    async with store(books_url) as dead:
        assert len((await dead.claim(8)).assignments) == 1
    async with worker(books_url, agents):
        ended = await runs.reaches(run, *FINAL)
    assert (ended.state, ended.steps[0].attempts, await crashes(runs.db, run.run_id)) == (RunState.COMPLETED, 2, 1)


async def test_a_worker_that_resumes_after_its_lease_is_fenced_off(runs: Runs, books_url: str) -> None:
    run = await runs.start(task("a"))
    async with store(books_url) as late, store(books_url, lease=30) as other:
        (old,) = (await late.claim(8)).assignments
        await eventually(other.recover)
        assert not (await late.report(Report(old.lease_id, Completed("too late"), take_successor=True))).counted
        (new,) = (await other.claim(8)).assignments
        assert new.lease_id.epoch > old.lease_id.epoch
        assert not await late.renew([old.lease_id])
        for outcome in (Completed("too late"), AttemptFailed(BROKEN), HandedBack()):
            assert not (await late.report(Report(old.lease_id, outcome, take_successor=True))).counted
        assert (await other.report(Report(new.lease_id, Completed("in time"), take_successor=True))).counted
        assert not (await other.report(Report(new.lease_id, Completed("twice"), take_successor=True))).counted
    assert (await runs.get(run)).steps[0].result == "in time"


async def test_a_step_with_a_renewed_lease_keeps_its_owner(runs: Runs, books_url: str) -> None:
    run = await runs.start(task("a"))
    agents = Agents()
    agents.hold("a")
    async with worker(books_url, agents, replace(PACE, lease=0.6)), store(books_url) as other:
        await eventually(lambda: "a" in agents.begun)
        before = await runs.db.fetchval("SELECT lease_until FROM steps WHERE run_id = $1", run.run_id)

        async def outlived() -> bool:
            return bool(await runs.db.fetchval("SELECT clock_timestamp() > $1::timestamptz + interval '1 s'", before))

        await eventually(outlived)
        assert await other.recover() == 0
        agents.gates["a"].set()
        assert (await runs.reaches(run, *FINAL)).steps[0].attempts == 1


async def test_a_steps_answer_counts_although_the_clock_was_set_back_before_it(
    runs: Runs, books_url: str, recorder: PostgresRecorder
) -> None:
    """The id of the execution that answered is lower than that of the failed one before it."""
    run = await runs.start(task("a"))
    step = StepRef(run.run_id, "a")
    async with store(books_url, lease=30) as only:
        (lease,) = (await only.claim(8)).assignments
        later, earlier = (replace(keyed(step.key, user_id=OWNER, step=step), execution_id=new_id()) for _ in range(2))
        failed, answered = (later, earlier) if later.execution_id > earlier.execution_id else (earlier, later)
        for intent_, state in ((failed, State.FAILED), (answered, State.COMPLETED)):
            assert await recorder.record(intent_) is None
            failure = BROKEN if state is State.FAILED else None
            assert await recorder.settle(Settlement(intent_, state, "an answer", failure=failure, bill=BILL))
        assert (await only.report(Report(lease.lease_id, Completed("an answer"), take_successor=True))).counted
    ended = (await runs.get(run)).steps[0]
    assert (ended.state, ended.execution_id) == (StepState.COMPLETED, answered.execution_id)


async def test_a_step_that_keeps_killing_its_workers_fails(runs: Runs, books_url: str) -> None:
    run = await runs.start(task("poison"), task("other", "poison"))
    async with store(books_url, lease=0.05, crash_limit=3) as dying:
        for _ in range(3):
            assert len((await dying.claim(8)).assignments) == 1
            await eventually(dying.recover)
        assert not (await dying.claim(8)).assignments
    ended = await runs.get(run)
    assert (ended.state, ended.failed_task) == (RunState.FAILED, "poison")
    assert ended.failure is not None
    assert (ended.failure.reason, ended.failure.details) == ("AGENT_EXECUTION_FAILED", {"crashes": "3"})


async def test_no_worker_claims_a_step_while_its_dead_workers_purchase_is_open(
    runs: Runs, books_url: str, recorder: PostgresRecorder
) -> None:
    run = await runs.start(task("a"))
    bought = keyed(f"{run.run_id}:a", user_id=OWNER, step=StepRef(run.run_id, "a"))
    async with store(books_url) as dead, store(books_url) as other:
        await dead.claim(8)
        await recorder.record(bought)
        await eventually(lambda: _lease_is_over(runs.db))
        assert await other.recover() == 0
        await expire(runs.db, bought.execution_id)
        await Sweeper(books_url, 1).sweep()
        assert await other.recover() == 1


async def test_a_cancelled_step_of_a_dead_worker_is_in_the_receipt_at_its_worst_case(
    runs: Runs, books_url: str, recorder: PostgresRecorder
) -> None:
    run = await runs.start(task("a"))
    bought = replace(intent(), user_id=OWNER, step=StepRef(run.run_id, "a"))
    async with store(books_url) as dead:
        await dead.claim(8)
        await recorder.record(bought)
        assert (await runs.store.cancel(OWNER, workflow_of(run))).state is RunState.CANCELLING
        await expire(runs.db, bought.execution_id)
        await Sweeper(books_url, 1).sweep()
        await eventually(dead.recover)
    (stopped,) = (await runs.reaches(run, RunState.CANCELLED)).stopped_steps
    assert (stopped.execution_id, stopped.bill) == (bought.execution_id, bought.worst_case)


async def test_the_usage_of_a_step_is_the_sum_of_its_attempts(runs: Runs, books_url: str, recorder: PostgresRecorder) -> None:
    run = await runs.start(task("a"))
    calls = [replace(intent(), user_id=OWNER, step=StepRef(run.run_id, "a")) for _ in range(2)]
    async with store(books_url, lease=30) as one:
        (assignment,) = (await one.claim(8)).assignments
        for call in calls:
            await recorder.record(call)
            await recorder.settle(Settlement(call, State.COMPLETED, "x", bill=BILL))
        await one.report(Report(assignment.lease_id, Completed("x"), take_successor=True))
    step = (await runs.get(run)).steps[0]
    assert step.bill is not None
    assert (step.bill.cost_micro_usd, step.bill.usage.output_tokens) == (BILL.cost_micro_usd * 2, BILL.usage.output_tokens * 2)
    assert (step.execution_id, step.agent_revision) == (calls[-1].execution_id, calls[-1].agent_revision)


async def test_a_worker_recovers_claims_whose_response_was_lost(runs: Runs, books_url: str) -> None:
    await runs.start(task("a"))
    async with store(books_url, lease=30) as one:
        (assignment,) = (await one.claim(8)).assignments
        assert await one.unconfirmed([assignment.lease_id]) == []
        assert await one.unconfirmed([]) == [assignment]


async def test_lost_connections_stop_no_step(runs: Runs, agents: Agents, books_url: str) -> None:
    agents.hold("a", "b")
    run = await runs.start(task("a"), task("b", "a"), task("c"))
    async with worker(books_url, agents):
        for task_id in ("a", "b"):
            await agents.wait_until_begun(task_id)
            await cut_connections(runs.db)
            agents.gates[task_id].set()
            await cut_connections(runs.db)
        ended = await runs.reaches(run, *FINAL)
    assert ended.state is RunState.COMPLETED
    assert agents.stopped == []
    assert sorted(agents.begun) == ["a", "b", "c"]


async def test_a_disconnected_worker_stops_its_steps_when_their_leases_expire(
    runs: Runs, books_url: str, postgres_server: PostgresServer
) -> None:
    cut_off, other = Agents(), Agents()
    cut_off.hold("a")
    run = await runs.start(task("a"))
    async with Relay(postgres_server.port) as relay:
        through = books_url.replace(f":{postgres_server.port}/", f":{relay.port}/")
        async with worker(through, cut_off, replace(PACE, lease=0.5)):
            await eventually(lambda: "a" in cut_off.begun)
            relay.silent = True
            await eventually(lambda: "a" in cut_off.stopped)
            async with worker(books_url, other):
                ended = await runs.reaches(run, *FINAL)
            relay.silent = False
    assert (ended.state, other.begun, ended.steps[0].attempts) == (RunState.COMPLETED, ["a"], 2)


@pytest.mark.parametrize("word", [Completed("late"), AttemptFailed(BROKEN), HandedBack()])
async def test_every_report_of_a_cancelled_runs_step_cancels_the_step(
    runs: Runs, books_url: str, word: Completed | AttemptFailed | HandedBack
) -> None:
    run = await runs.start(task("a"))
    async with store(books_url, lease=30) as one:
        (assignment,) = (await one.claim(8)).assignments
        await runs.store.cancel(OWNER, workflow_of(run))
        assert not await one.renew([assignment.lease_id])
        assert (await one.report(Report(assignment.lease_id, word, take_successor=False))).counted
    ended = await runs.get(run)
    assert (ended.state, ended.steps[0].state) == (RunState.CANCELLED, StepState.CANCELLED)


async def _lease_is_over(db: Connection) -> bool:
    return bool(await db.fetchval("SELECT bool_and(lease_until < clock_timestamp()) FROM steps"))
