"""Runs and workers for the tests of the engine: the real stores and the real dispatcher, with scripted agents."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from mesh.limits.limiter import Charge, Verdict
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.limits.local import LocalLimits
from orchestrator.adapters.workflows.claims.claims import Shares
from orchestrator.adapters.workflows.commit_notifier import CommitNotifier
from orchestrator.adapters.workflows.runs import PostgresRunStore
from orchestrator.adapters.workflows.steps import Leases, PostgresStepStore
from orchestrator.adapters.workflows.store import PostgresWorkflowStore
from orchestrator.executions.model import Failure
from orchestrator.executions.stop import StopSignal
from orchestrator.workflows.assignment import Assignment, Completed, HandedBack, Outcome
from orchestrator.workflows.engine.dispatcher import Dispatcher, Pace, Performer, most_of_one_user
from orchestrator.workflows.engine.tokens import ChargesOf, OwnerTokens
from orchestrator.workflows.model import NewRun, NewWorkflow, Retry, Run, RunState, StepState, Task, View, Workflow
from orchestrator.workflows.tasks import graph
from tests.adapters.orchestrator.looking import Connection
from tests.support.waiting import eventually

AGENT_ID = "marketing_seo_strategist_agent_1_1"
OWNER = 7
BROKEN = Failure("LLM_API_ERROR", "the provider is overloaded", {}, retryable=True)
REFUSED = Failure("GUARDRAIL_BLOCKED", "not this", {}, retryable=False)
PACE = Pace(slots=8, lease=2.0, heartbeat=0.1, poll=0.2, drain=5.0)


class Heartbeat:
    """A notifier without subscribers."""

    def changed(self, run_ids: Sequence[UUID]) -> None:
        """Do nothing."""

    def notify(self, run_id: UUID) -> None:
        """Do nothing."""


NO_NEWS = CommitNotifier(Heartbeat(), lambda: None)


@dataclass
class Agents:
    """Performs attempts: `script` answers them, and `gates` hold them until they are opened or stopped."""

    script: Callable[[Assignment], Outcome] = field(default=lambda assignment: Completed(f"answer of {assignment.lease_id.task_id}"))
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)

    def hold(self, *task_ids: str) -> None:
        """Let these tasks begin but not end."""
        self.gates.update((task_id, asyncio.Event()) for task_id in task_ids)

    async def wait_until_begun(self, task_id: str) -> None:
        """Wait until an attempt of a task has begun."""
        await eventually(lambda: task_id in self.begun)

    async def perform(self, assignment: Assignment, stop: StopSignal) -> Outcome:
        task_id = assignment.lease_id.task_id
        self.begun.append(task_id)
        self.inputs[task_id] = assignment.input
        gate = self.gates.get(task_id)
        if gate is not None:
            with stop.calling(gate.set):
                await gate.wait()
        if stop.is_set:
            self.stopped.append(task_id)
            return HandedBack()
        return self.script(assignment)

    async def settle_again(self, assignment: Assignment) -> bool:
        """These agents settle nothing."""
        return False

    def reported(self, assignment: Assignment) -> None:
        """There is nothing to forget."""


def task(task_id: str, *after: str, **fields: Any) -> Task:
    """A task. The workflow becomes a graph if any of its tasks names what it depends on."""
    return Task(task_id, AGENT_ID, fields.pop("input", f"do {task_id}"), depends_on=after, **fields)


def workflow_of(run: Run) -> UUID:
    """Returns the workflow of a run that has one."""
    assert run.workflow_id is not None
    return run.workflow_id


class Runs:
    """Creates workflows, starts them, and inspects their runs."""

    def __init__(self, store: PostgresRunStore, workflows: PostgresWorkflowStore, db: Connection) -> None:
        self.store = store
        self.workflows = workflows
        self.db = db

    async def start(self, *tasks: Task, user_id: int = OWNER) -> Run:
        """A run of a new workflow."""
        made = await self.workflows.create(NewWorkflow(uuid7(), user_id, "test", tasks), None)
        assert isinstance(made, Workflow)
        return await self.start_again(made.workflow_id, *tasks, user_id=user_id)

    async def queue(self, steps: int, user_id: int = OWNER) -> Run:
        """A run with this many steps that are ready at once."""
        tasks = [task(f"s{number}") for number in range(steps)]
        return await self.start(*tasks, task("last", "s0"), user_id=user_id)

    async def start_again(self, workflow_id: UUID, *tasks: Task, user_id: int = OWNER) -> Run:
        """A run of an existing workflow."""
        before = graph.predecessors(tasks)
        resolved_tasks = [Task(t.id, t.agent_id, t.input, t.context, before[t.id], t.retry, t.timeout_seconds, t.approval) for t in tasks]
        run = await self.store.start(NewRun(uuid7(), workflow_id, user_id, "ada", "user", "req_1", resolved_tasks), None)
        assert isinstance(run, Run)
        return run

    async def get(self, run: Run) -> Run:
        found = await self.store.get(None, run.run_id, View.FULL)
        assert found is not None
        return found

    async def reaches(self, run: Run, *states: RunState, within: float = 10) -> Run:
        """The run once it is in one of these states."""

        async def there() -> Run | None:
            found = await self.get(run)
            return found if found.state in states else None

        reached: Run = await eventually(there, within)
        return reached

    async def states(self, run: Run) -> dict[str, StepState]:
        """The states of the run's steps."""
        return {step.task_id: step.state for step in (await self.get(run)).steps}

    async def events(self, run: Run) -> list[str]:
        """The types of the workflow's events, in order."""
        rows = await self.db.fetch("SELECT event_type FROM outbox WHERE aggregate_id = $1 ORDER BY id", str(run.workflow_id))
        return [row["event_type"] for row in rows]


class LocalLimiter:
    """The in-process buckets, as used while Redis is down."""

    def __init__(self) -> None:
        self._buckets = LocalLimits()

    async def take(self, charges: Sequence[Charge], watch: Sequence[str] = ()) -> Verdict:
        """Takes all of the tokens, or none."""
        return self._buckets.take(charges)


def charges(per_minute: int) -> ChargesOf:
    """One bucket for each user."""
    return lambda principal: [Charge("agent_calls", f"user:{principal.user_id}", per_minute)]


UNLIMITED = 1_000_000_000


def step_store(
    url: str,
    pace: Pace = PACE,
    crash_limit: int = 3,
    in_flight: int = UNLIMITED,
    tokens: OwnerTokens | None = None,
    commits: CommitNotifier = NO_NEWS,
) -> PostgresStepStore:
    """The store of a new worker; without limits unless the test sets some."""
    tokens = tokens or OwnerTokens(LocalLimiter(), charges(UNLIMITED))
    shares = Shares(in_flight, most_of_one_user(pace.slots))
    return PostgresStepStore(url, uuid7(), Leases(pace.lease, crash_limit), shares, tokens, commits, BackgroundTasks())


@asynccontextmanager
async def worker(
    url: str, agents: Performer, pace: Pace = PACE, crash_limit: int = 3, tokens: OwnerTokens | None = None
) -> AsyncIterator[Dispatcher]:
    """A worker in this process."""
    async with step_store(url, pace, crash_limit, tokens=tokens) as store:
        dispatcher = Dispatcher(store, agents, Heartbeat(), pace, BackgroundTasks())
        stop = asyncio.Event()
        running = asyncio.create_task(dispatcher.run(stop))
        try:
            yield dispatcher
        finally:
            stop.set()
            # Not at once: a step that ends at the moment of the signal may still continue with its successor.
            for gate in agents.gates.values() if isinstance(agents, Agents) else ():
                asyncio.get_running_loop().call_later(0.1, gate.set)
            await running


FAST = Retry(max_attempts=3, delay_seconds=0.05)
