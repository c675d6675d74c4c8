"""SIGKILL of PostgreSQL between the settlement of a step's execution and the step's own commit: the two agree afterwards.

The server flushes its log only when a commit requests it (wal_writer_delay), so each crash loses every settlement that was not flushed.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import asyncpg
import pytest
from sqlalchemy import text

from deploy.local.servers.postgres import PostgresServer
from mesh.errors import ServiceUnavailable
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.adapters.executions.sweeper import Sweeper
from orchestrator.adapters.postgres.engine import CONNECTION_LOST, create_engine
from orchestrator.adapters.postgres.migration import migrate
from orchestrator.adapters.workflows.runs import PostgresRunStore
from orchestrator.adapters.workflows.store import PostgresWorkflowStore
from orchestrator.executions.model import Failure, Settlement, State, StepRef
from orchestrator.executions.stop import StopSignal
from orchestrator.workflows.assignment import Assignment, AttemptFailed, Completed, HandedBack, Outcome
from orchestrator.workflows.engine.dispatcher import Pace
from orchestrator.workflows.model import Retry, Run, RunState, Task
from tests.adapters.orchestrator.looking import Connection
from tests.adapters.orchestrator.workflows.engine import AGENT_ID, NO_NEWS, OWNER, Heartbeat, Runs, task, worker
from tests.support.ports import any_free_port
from tests.support.waiting import eventually
from tests.unit.orchestrator.making import BILL, keyed

LEASE_SECONDS = 30.0
REFUSED = Failure("GUARDRAIL_BLOCKED", "the output was blocked", {}, retryable=False)
PATIENT = Retry(max_attempts=5, delay_seconds=0.05)
Between = Callable[[], Awaitable[None]]


async def nothing() -> None:
    pass


@dataclass
class Buying:
    """Performs attempts through a real recorder; `between` runs after an attempt is settled and before it is reported."""

    recorder: PostgresRecorder
    settles_as: State = State.COMPLETED
    between: Between = nothing
    bought: list[StepRef] = field(default_factory=list)

    async def perform(self, assignment: Assignment, stop: StopSignal) -> Outcome:
        step = _step(assignment)
        intent = keyed(step.key, user_id=OWNER, agent_id=AGENT_ID, step=step)
        try:
            if await self.recorder.record(intent) is not None:
                return HandedBack(0.05)  # an earlier attempt has not been swept yet
        except ServiceUnavailable:
            return HandedBack(0.05)
        self.bought.append(step)
        failure = None if self.settles_as is State.COMPLETED else REFUSED
        if not await self.recorder.settle(Settlement(intent, self.settles_as, "an answer", failure=failure, bill=BILL)):
            return AttemptFailed(Failure("AGENT_EXECUTION_FAILED", "not settled", {}, retryable=True))
        await self.between()
        return Completed("an answer") if failure is None else AttemptFailed(failure)

    async def settle_again(self, assignment: Assignment) -> bool:
        return await self.recorder.settle_again(_step(assignment))

    def has_bought(self, count: int) -> bool:
        return len(self.bought) >= count

    def reported(self, assignment: Assignment) -> None:
        self.recorder.step_committed(_step(assignment))


def _step(assignment: Assignment) -> StepRef:
    return StepRef(assignment.lease_id.run_id, assignment.lease_id.task_id)


@dataclass
class Platform:
    """A server of the test's own, and the stores that use it."""

    server: PostgresServer
    url: str
    recorder: PostgresRecorder
    runs: PostgresRunStore
    workflows: PostgresWorkflowStore

    async def crash(self) -> None:
        """SIGKILL, then a new server with the same data."""
        self.server.process.kill(signal.SIGKILL)

        async def ended() -> bool:
            return not self.server.process.running

        await eventually(ended)
        await self.server.start()

    async def start(self, *tasks: Task) -> Run:
        """A run of a new workflow."""
        async with self.looking() as db:
            return await Runs(self.runs, self.workflows, db).start(*tasks)

    async def ends(self, *runs: Run) -> None:
        """Wait until these runs are final, while the database may be down."""
        ids = [run.run_id for run in runs]

        async def ended() -> bool:
            try:
                async with self.looking() as db:
                    active = "SELECT count(*) FROM runs WHERE run_id = ANY($1) AND status NOT IN ('completed', 'failed', 'cancelled')"
                    return bool(await db.fetchval(active, ids) == 0)
            except CONNECTION_LOST:
                return False

        await eventually(ended, 90)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[Connection]:
        """A short-lived connection."""
        connection = await asyncpg.connect(self.url.replace("+asyncpg", ""), timeout=2)
        try:
            yield connection
        finally:
            connection.terminate()

    async def mismatches(self) -> list[asyncpg.Record]:
        """Completed steps whose execution is not completed, and completed executions whose step has another one."""
        async with self.looking() as db:
            return await db.fetch(
                """
                SELECT s.run_id, s.status AS step, e.status AS execution, s.execution_id FROM steps s
                LEFT JOIN executions e ON e.execution_id = s.execution_id
                WHERE s.status = 'completed' AND e.status IS DISTINCT FROM 'completed'
                   OR s.status = 'completed' AND s.bill IS NULL
                   OR s.status = 'failed' AND e.status IS DISTINCT FROM 'failed'
                """
            )


@pytest.fixture
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    settings = {"fsync": "off", "wal_writer_delay": "10s"}
    server = PostgresServer(tmp_path_factory.mktemp("crashing"), any_free_port(), settings=settings)
    await server.start()
    url = await server.create_database("crashing")
    engine = create_engine(url, 5, 5)
    await migrate(engine)
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO users (id, username, password_hash) VALUES (:id, 'owner', 'none')"), {"id": OWNER})
    tasks = BackgroundTasks()
    async with (
        PostgresRecorder(url, LEASE_SECONDS, tasks) as recorder,
        PostgresRunStore(url, engine, NO_NEWS, Heartbeat(), tasks) as runs,
    ):
        yield Platform(server, url, recorder, runs, PostgresWorkflowStore(engine))
    await engine.dispose()
    await server.stop()
    server.erase()


PACE = Pace(slots=8, lease=20.0, heartbeat=0.1, poll=0.1, drain=5.0)


def once(crash: Between) -> Between:
    """Run `action` only the first time."""
    left = [crash]

    async def first() -> None:
        if left:
            await left.pop()()

    return first


@pytest.mark.parametrize(("settles_as", "ends_as"), [(State.COMPLETED, RunState.COMPLETED), (State.FAILED, RunState.FAILED)])
async def test_a_settlement_lost_in_a_crash_is_settled_again(platform: Platform, settles_as: State, ends_as: RunState) -> None:
    buying = Buying(platform.recorder, settles_as, once(platform.crash))
    run = await platform.start(task("a"))
    async with worker(platform.url, buying, PACE):
        await platform.ends(run)
    assert await platform.mismatches() == []
    async with platform.looking() as db:
        (execution,) = await db.fetch("SELECT status FROM executions")
        assert execution["status"] == settles_as.value
        assert await db.fetchval("SELECT status FROM runs") == ends_as.value
        assert await db.fetchval("SELECT count(*) FROM outbox WHERE event_type = 'agent.executed'") == 1
    assert len(buying.bought) == 1


async def test_a_step_whose_execution_was_swept_after_a_crash_is_retried(platform: Platform) -> None:
    """The sweeper came first: the execution is outcome_unknown at its worst case, and its answer no longer counts."""

    async def crash_and_sweep() -> None:
        await platform.crash()
        async with platform.looking() as db:
            await db.execute("UPDATE executions SET lease_until = clock_timestamp() - interval '1 s'")
        await Sweeper(platform.url, 1).sweep()

    buying = Buying(platform.recorder, between=once(crash_and_sweep))
    run = await platform.start(task("a", retry=PATIENT))
    async with worker(platform.url, buying, PACE):
        await platform.ends(run)
    assert await platform.mismatches() == []
    async with platform.looking() as db:
        states = [row["status"] for row in await db.fetch("SELECT status FROM executions ORDER BY execution_id")]
        assert states == ["outcome_unknown", "completed"]
        assert await db.fetchval("SELECT status FROM runs") == "completed"


async def test_steps_and_executions_agree_after_many_crashes_under_load(platform: Platform) -> None:
    """The crashes happen at any moment, not only between the two commits."""

    async def a_moment() -> None:
        await asyncio.sleep(0.02)  # widens the window between the two commits; the wait for a condition is below

    buying = Buying(platform.recorder, between=a_moment)
    runs = [await platform.start(task("a", retry=PATIENT), task("b", "a", retry=PATIENT)) for _ in range(60)]
    async with worker(platform.url, buying, PACE):
        for crash in range(1, 6):
            await eventually(partial(buying.has_bought, 20 * crash))
            await platform.crash()
        await platform.ends(*runs)
    assert await platform.mismatches() == []
