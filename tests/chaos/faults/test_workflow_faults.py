"""Faults around running steps: nothing is lost, nothing completes twice, and no recorded answer is bought again."""

import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from redis.asyncio import Redis

import orchestrator.processes.worker
from deploy.local.stack import Stack
from deploy.local.supervision.process import Process, ready_file_written
from deploy.local.supervision.waiting import holds_within
from mesh.failpoints import Failpoint
from orchestrator.adapters.wakeups.arq_wakeup import JOB_TIMEOUT_SECONDS
from tests.chaos.faults.test_failpoints import has_ended
from tests.chaos.recovery import answering, set_pace, settled, well
from tests.chaos.runs import Runs, runs_of, task

assert orchestrator.processes.worker  # imported to register its failpoints

RECOVERY_SECONDS = 10
IN_WORKER = sorted(name for name in Failpoint.known if name.startswith(("execution.", "workflow.before_claim", "workflow.after_claim")))
REPORTING = ["workflow.before_report_commit", "workflow.after_report_commit"]


@pytest.fixture
async def runs(stack: Stack) -> AsyncIterator[Runs]:
    async with runs_of(stack) as runs:
        yield runs
    await set_pace(stack)
    await settled(stack)
    for run_id in runs.started:
        await runs.assert_consistent(run_id)


@pytest.mark.parametrize("failpoint", [*IN_WORKER, *REPORTING])
async def test_a_worker_killed_at_any_step_loses_no_run(stack: Stack, runs: Runs, failpoint: str) -> None:
    worker = stack.process("worker")
    await worker.restart(env={"FAILPOINTS": failpoint})
    victim = worker.pid
    run_id = await runs.start(task("a"), task("b", "a"))
    assert await holds_within(10, lambda: has_ended(worker, victim)), f"the worker did not die at {failpoint}"
    await worker.restart(env={"FAILPOINTS": ""})
    began = time.monotonic()
    assert await runs.ended(run_id) == "completed"
    assert time.monotonic() - began < RECOVERY_SECONDS
    assert await runs.completions(run_id) == {"a": 1, "b": 1}
    calls = await runs.executions(run_id, "a")
    assert calls.count("completed") == 1, "a recorded answer was bought again"
    assert len(calls) == (2 if failpoint in OUTCOME_UNKNOWN else 1)


@asynccontextmanager
async def second_worker(stack: Stack) -> AsyncIterator[None]:
    """Another worker of the stack, which the supervisor does not restart."""
    first = stack.process("worker").spec
    ready = stack.state.ready_file("worker-2")
    own = {"READY_FILE": str(ready), "METRICS_PORT": str(stack.ports.worker_metrics[0] + 50)}
    spec = replace(
        first,
        name="worker-2",
        traces=stack.state.traces("worker-2"),
        ready=ready_file_written(ready),
        environment={**first.environment, **own},
        after=(),
    )
    process = Process(spec)
    await process.start()
    try:
        yield
    finally:
        await process.stop()


OUTCOME_UNKNOWN = {"execution.after_intent_commit", "execution.after_agent_answer", "execution.before_settlement_commit"}


@pytest.mark.parametrize("failpoint", ["workflow.before_recovery_commit", "workflow.after_recovery_commit"])
async def test_a_dead_workers_step_is_claimed_although_the_recovering_worker_dies_too(stack: Stack, runs: Runs, failpoint: str) -> None:
    worker = stack.process("worker")
    await set_pace(stack, delay_ms=3000)
    run_id = await runs.start(task("a"))
    await runs.running(run_id, "a")
    first = worker.pid
    worker.kill(signal.SIGKILL)
    assert await holds_within(10, lambda: has_ended(worker, first))
    await set_pace(stack)
    await worker.restart(env={"FAILPOINTS": failpoint})
    cleaner = worker.pid
    assert await holds_within(15, lambda: has_ended(worker, cleaner)), f"the worker did not die at {failpoint}"
    await worker.restart(env={"FAILPOINTS": ""})
    assert await runs.ended(run_id) == "completed"
    assert await runs.executions(run_id, "a") == ["outcome_unknown", "completed"]


@pytest.mark.parametrize("failpoint", ["workflow.before_start_commit", "workflow.after_start_commit"])
async def test_an_unconfirmed_start_created_one_run_or_none(stack: Stack, runs: Runs, failpoint: str) -> None:
    orchestrator = stack.process("orchestrator")
    workflow_id = await runs.create(task("a"))
    await orchestrator.restart(env={"FAILPOINTS": failpoint})
    await well(stack)
    victim = orchestrator.pid
    assert (await runs.execute(workflow_id)).status_code >= 500
    assert await holds_within(10, lambda: has_ended(orchestrator, victim))
    await orchestrator.restart(env={"FAILPOINTS": ""})
    await well(stack)
    there = await runs.rows("SELECT run_id FROM runs WHERE workflow_id = $1", workflow_id)
    assert len(there) == (1 if failpoint == "workflow.after_start_commit" else 0)
    for row in there:
        assert await runs.ended(str(row["run_id"])) == "completed"


@pytest.mark.parametrize("failpoint", ["workflow.before_command_commit", "workflow.after_command_commit"])
async def test_an_unconfirmed_cancel_took_effect_or_not(stack: Stack, runs: Runs, failpoint: str) -> None:
    orchestrator = stack.process("orchestrator")
    workflow_id = await runs.create(task("a"), task("b", "a"))
    await orchestrator.restart(env={"FAILPOINTS": failpoint})
    await well(stack)
    await set_pace(stack, delay_ms=2000)
    run_id = (await runs.execute(workflow_id)).json()["run"]["run_id"]
    await runs.running(run_id, "a")
    assert (await runs.http.post(f"/api/v1/workflows/{workflow_id}/cancel", json={})).status_code >= 500
    await orchestrator.restart(env={"FAILPOINTS": ""})
    await set_pace(stack)
    expected = "cancelled" if failpoint == "workflow.after_command_commit" else "completed"
    assert await runs.ended(run_id) == expected
    await well(stack)


async def test_the_provider_call_of_a_cancelled_step_ends_within_a_second(stack: Stack, runs: Runs) -> None:
    await set_pace(stack, delay_ms=20_000)
    workflow_id = await runs.create(task("a"), task("b"), task("c", "a", "b"))
    run_id = (await runs.execute(workflow_id)).json()["run"]["run_id"]
    for task_id in ("a", "b"):
        await runs.running(run_id, task_id)

    async def busy() -> bool:
        return await answering(stack) == 2

    async def idle() -> bool:
        return await answering(stack) == 0

    assert await holds_within(5, busy)
    cancelling = (await runs.http.post(f"/api/v1/workflows/{workflow_id}/cancel", json={})).json()["run"]
    assert cancelling["status"] in ("RUN_STATUS_CANCELLING", "RUN_STATUS_CANCELLED"), (
        "the worker has not stopped the step although the cancel was answered"
    )
    assert await holds_within(1, idle), "a provider call did not end within a second"
    assert await runs.ended(run_id) == "cancelled"
    run = (await runs.http.get(f"/api/v1/runs/{run_id}")).json()["run"]
    assert sorted(step["task_id"] for step in run["cancellation"]["stopped_steps"]) == ["a", "b"]
    assert all(step["execution_id"] for step in run["cancellation"]["stopped_steps"])
    assert run["cancellation"]["finished_at"]


async def test_a_step_longer_than_any_arq_timeout_is_bought_once(stack: Stack, runs: Runs) -> None:
    await set_pace(stack, delay_ms=(JOB_TIMEOUT_SECONDS + 2) * 1000)
    run_id = await runs.start(task("a"))
    assert await runs.ended(run_id, within=JOB_TIMEOUT_SECONDS + 20) == "completed"
    assert await runs.executions(run_id, "a") == ["completed"]


async def test_a_worker_suspended_beyond_its_lease_loses_its_step(stack: Stack, runs: Runs) -> None:
    sleeper = stack.process("worker")
    await set_pace(stack, delay_ms=1500)
    run_id = await runs.start(task("a"), task("b", "a"))
    await runs.running(run_id, "a")
    sleeper.kill(signal.SIGSTOP)
    try:
        async with second_worker(stack):
            await set_pace(stack)
            assert await runs.ended(run_id) == "completed"
            sleeper.kill(signal.SIGCONT)
            await settled(stack)
    finally:
        sleeper.kill(signal.SIGCONT)
    assert await runs.executions(run_id, "a") == ["outcome_unknown", "completed"]
    assert await runs.completions(run_id) == {"a": 1, "b": 1}


async def test_a_restart_of_postgresql_buys_no_running_step_twice(stack: Stack, runs: Runs) -> None:
    await set_pace(stack, delay_ms=1500)
    started = [await runs.start(task("a"), task("b", "a")) for _ in range(3)]
    for run_id in started:
        await runs.running(run_id, "a")
    await stack.process("postgres").restart()
    for run_id in started:
        assert await runs.ended(run_id) == "completed"
        assert await runs.executions(run_id, "a") == ["completed"]
        assert await runs.completions(run_id) == {"a": 1, "b": 1}


async def test_without_redis_polling_drives_every_step(stack: Stack, runs: Runs) -> None:
    redis = stack.process("redis")
    worker = stack.process("worker").pid
    async with Redis.from_url(stack.redis_url) as client:
        await client.flushall()
    await redis.stop()
    try:
        assert await runs.ended(await runs.start(task("a"), task("b", "a"))) == "completed"
    finally:
        await redis.start()
    assert await runs.ended(await runs.start(task("a"), task("b", "a"))) == "completed"
    assert stack.process("worker").pid == worker, "the worker exited"


async def test_a_worker_returns_its_steps_uncounted_on_sigterm(stack: Stack, runs: Runs) -> None:
    await set_pace(stack, delay_ms=30_000)
    await stack.process("worker").restart(env={"DRAIN_GRACE_SECONDS": "1"})
    run_id = await runs.start(task("a", retry={"max_attempts": 1}))
    await runs.running(run_id, "a")
    began = time.monotonic()
    await stack.process("worker").stop()
    assert time.monotonic() - began < 10
    assert [tuple(row) for row in await runs.rows("SELECT status, attempts, crashes FROM steps WHERE run_id = $1", run_id)] == [
        ("ready", 0, 0)
    ]
    await set_pace(stack)
    await stack.process("worker").start()
    assert await runs.ended(run_id) == "completed"
    assert await runs.executions(run_id, "a") == ["cancelled", "completed"]
