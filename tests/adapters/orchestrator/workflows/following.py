"""Runs without a worker process: the test reports what a worker would report."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.tasks import BackgroundTasks
from orchestrator.adapters.workflows.commit_notifier import CommitNotifier
from orchestrator.adapters.workflows.runs import PostgresRunStore
from orchestrator.adapters.workflows.steps import PostgresStepStore
from orchestrator.adapters.workflows.store import PostgresWorkflowStore
from orchestrator.executions.books import new_id
from orchestrator.executions.model import StepRef
from orchestrator.workflows.assignment import Completed, Report
from orchestrator.workflows.live.following import LiveTexts
from orchestrator.workflows.live.model import LiveHead, LiveNews
from orchestrator.workflows.model import Change, NewRun, NewWorkflow, Run, Step, Task, View, Workflow
from orchestrator.workflows.ports import RunNotifier
from orchestrator.workflows.watch import Ended, Heartbeat, Live, RunWatch
from tests.adapters.orchestrator.workflows.engine import step_store

AGENT_ID = "marketing_seo_strategist_agent_1_1"
OWNER = new_id()
USER = 7
DIAMOND = (
    Task("a", AGENT_ID, "Begin."),
    Task("b", AGENT_ID, "Go left: {{tasks.a.result}}", depends_on=("a",)),
    Task("c", AGENT_ID, "Go right: {{tasks.a.result}}", depends_on=("a",)),
    Task("d", AGENT_ID, "End.", depends_on=("b", "c")),
)


class NoQueue:
    """No worker runs."""

    def notify(self, run_id: UUID) -> None:
        """There is no worker to notify."""


class SilentNotifier:
    """A notifier without subscribers."""

    def changed(self, run_ids: Sequence[UUID]) -> None:
        """There is no subscriber."""


class NoText:
    """A Redis without live texts."""

    async def read(self, known: Sequence[tuple[StepRef, LiveHead | None, int]]) -> Sequence[LiveNews | None]:
        return [None for _ in known]


class DroppedText:
    """A worker's live texts that nobody reads."""

    def grow(self, step: StepRef, head: LiveHead, piece: str) -> None: ...

    def end(self, step: StepRef, epoch: int) -> None: ...


def no_live_texts() -> LiveTexts:
    """The live texts of a process in which nobody reads them."""
    return LiveTexts(NoText())


@dataclass
class Runs:
    """The stores, and the work of a worker."""

    store: PostgresRunStore
    workflows: PostgresWorkflowStore
    steps: PostgresStepStore

    async def start(self, tasks: Sequence[Task] = DIAMOND) -> Run:
        """A run of a new workflow."""
        made = await self.workflows.create(NewWorkflow(new_id(), USER, "Launch", tasks), None)
        assert isinstance(made, Workflow)
        run = await self.store.start(NewRun(new_id(), made.workflow_id, USER, "ann", "user", "req_1", tasks), None)
        assert isinstance(run, Run)
        return run

    async def work(self, limit: int = 10) -> int:
        """Complete the steps that are ready now; returns their number."""
        claimed = await self.steps.claim(limit)
        for assignment in claimed.assignments:
            done = Completed(f"the answer of {assignment.lease_id.task_id}")
            assert (await self.steps.report(Report(assignment.lease_id, done, take_successor=False))).counted
        return len(claimed.assignments)

    async def finish(self) -> None:
        """Work until no step is ready."""
        while await self.work():
            pass

    async def current(self, run: Run) -> Run:
        """The current state of the run."""
        now = await self.store.get(USER, run.run_id, View.FULL)
        assert now is not None
        return now


@asynccontextmanager
async def running_stores(url: str, engine: AsyncEngine, notifier: RunNotifier) -> AsyncIterator[Runs]:
    """Stores that use this notifier."""
    async with (
        PostgresRunStore(url, engine, CommitNotifier(notifier, lambda: None), NoQueue(), BackgroundTasks()) as store,
        step_store(url, commits=CommitNotifier(notifier, lambda: None)) as steps,
    ):
        yield Runs(store, PostgresWorkflowStore(engine), steps)


def subject_and_state(change: Change) -> tuple[str, str]:
    """The subject of a change and its new state."""
    subject = change.subject
    return ("run" if isinstance(subject, Run) else subject.task_id, subject.state.value)


async def watched(watch: RunWatch, run: Run, after: int = 0) -> list[Change]:
    """Every change after number `after`, to the last one, which must arrive."""
    changes: list[Change] = []
    async for item in watch.changes(run, after):
        if isinstance(item, Ended):
            assert item.sequence == (changes[-1].sequence if changes else after)
            return changes
        assert not isinstance(item, Heartbeat | Live), "no change arrived in time"
        changes.append(item)
    raise AssertionError("the watch ended before the run did")


def results(changes: Sequence[Change]) -> dict[str, str]:
    """The results of the steps that these changes completed."""
    return {one.subject.task_id: one.subject.result for one in changes if isinstance(one.subject, Step) and one.subject.result}
