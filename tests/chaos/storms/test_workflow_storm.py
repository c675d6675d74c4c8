"""Workflows under load while workers, the orchestrator, Redis and PostgreSQL are killed, repeatedly.

CHAOS_RUNS and CHAOS_SECONDS set the size and the length: see `make chaos`.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import pytest

from deploy.local.stack import Stack
from tests.chaos.conftest import ENVIRONMENT, running_stack
from tests.chaos.fault_injection import Fault, WorkflowFaults
from tests.chaos.figures import figures_agree
from tests.chaos.reconcile import Books, reconcile
from tests.chaos.recovery import set_pace, settled, well
from tests.chaos.run_books import COMPLETED, FINAL, RunBook
from tests.chaos.runs import Runs, runs_of
from tests.chaos.starts import RunStarter, unreliable_provider
from tests.conftest import ReportFigures
from tests.support.waiting import eventually

RUNS = int(os.environ.get("CHAOS_RUNS", "60"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "30"))
LEASE_SECONDS = 4
MOVES_AGAIN_SECONDS = 10.0
CALM_SECONDS = 60 + SECONDS / 2
"""The time in which the remaining runs must end after the last fault."""
CRASH_LIMIT = 8
OPEN = ("ready", "running")
RETRY = {"max_attempts": 8, "delay_seconds": 0.2}


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory, compiled: Mapping[str, str]) -> AsyncIterator[Stack]:
    """Two workers, with the production values of the leases."""
    leases = {"EXECUTION_LEASE_SECONDS": str(LEASE_SECONDS), "STEP_LEASE_SECONDS": str(LEASE_SECONDS)}
    paces = {
        "STEP_POLL_SECONDS": "1",
        "SWEEP_SECONDS": "1",
        "STEP_CRASH_LIMIT": str(CRASH_LIMIT),
    }  # the first two belong to the workers themselves
    environment = {**ENVIRONMENT, **leases, **paces, **compiled}
    async with running_stack(tmp_path_factory.mktemp("storm"), environment, workers=2) as running:
        yield running


@pytest.fixture
async def runs(stack: Stack) -> AsyncIterator[Runs]:
    async with runs_of(stack) as runs:
        yield runs


@pytest.mark.timeout(SECONDS + 2 * CALM_SECONDS + 120)
async def test_every_run_ends_despite_killed_processes(stack: Stack, runs: Runs, report_figures: ReportFigures) -> None:
    """Every run ends, no step completes twice, steps progress again soon after each fault, and all books agree."""
    await set_pace(stack, delay_ms=300)
    faults, starter = WorkflowFaults(stack), RunStarter(runs, RETRY)
    async with unreliable_provider(stack):
        await asyncio.gather(faults.run(SECONDS), starter.start_runs(RUNS, SECONDS))
    await well(stack)
    await all_ended(runs, RUNS)
    await settled(stack)
    books = await reconcile(stack.database_url, stack.simulator_log, [], starter.starts)
    assert await figures_agree(stack.database_url), "no execution was counted"
    gap, stranded = largest_gap(books.runs.values(), faults.faults), longest_wait(books.runs.values(), faults.faults)
    report(report_figures, faults, books, gap, stranded)
    assert {"worker", "worker-1", "orchestrator", "redis", "postgres"} <= faults.killed.keys()
    assert len(books.runs) == RUNS
    assert not [problem for book in books.runs.values() for problem in unexplained_failure(book)]
    assert books.states["failed"], "the flaky step never failed"
    assert gap[0] < MOVES_AGAIN_SECONDS
    assert stranded[0] < MOVES_AGAIN_SECONDS


async def all_ended(runs: Runs, number: int) -> None:
    """Wait until this many runs are final."""
    count = "SELECT count(*) AS n FROM runs WHERE status = ANY($1::text[])"

    async def ended() -> bool:
        return bool((await runs.rows(count, FINAL))[0]["n"] >= number)

    await eventually(ended, CALM_SECONDS)


def unexplained_failure(book: RunBook) -> list[str]:
    """Why the run should have completed, unless it did or one of its steps had no attempts left.

    A worker that is killed every five seconds can crash the same step repeatedly; after CRASH_LIMIT crashes the step fails.
    """
    failed = [step for step in book.steps if step["status"] == "failed"]
    exhausted = any(step["attempts"] - step["crashes"] >= RETRY["max_attempts"] or step["crashes"] >= CRASH_LIMIT for step in failed)
    return [] if book.row["status"] == COMPLETED or exhausted else [f"run {book.row['run_id']}: {book.row['failure']}"]


def largest_gap(books: Iterable[RunBook], faults: Sequence[Fault]) -> tuple[float, str]:
    """The longest time in which work was pending and no step of any run changed, and the fault before it."""
    changes = sorted((change.at, f"{book.row['run_id']} {change.task_id}", change.state) for book in books for change in book.changes)
    longest, to_do = (0.0, "nothing"), set[str]()
    before = faults[0].at
    for at, step, state in changes:
        if to_do and at > before:
            longest = max(longest, (at - before, [fault.name for fault in faults if fault.at <= at][-1]))
        before = max(before, at)
        (to_do.add if state in OPEN else to_do.discard)(step)
    return longest


def longest_wait(books: Iterable[RunBook], faults: Sequence[Fault]) -> tuple[float, str]:
    """The longest time from a fault to the next change of a step that was ready or running then, and the fault."""
    waits = [(0.0, "nothing")]
    for book in books:
        since: dict[str, float] = {}
        for change in book.changes:
            began = since.pop(change.task_id, None)
            waits += [(change.at - fault.at, fault.name) for fault in faults if began is not None and began <= fault.at < change.at]
            if change.state in OPEN:
                since[change.task_id] = change.at
    return max(waits)


def report(
    report_figures: ReportFigures, faults: WorkflowFaults, books: Books, gap: tuple[float, str], stranded: tuple[float, str]
) -> None:
    """Report the figures of the storm."""
    ends = Counter(book.row["status"] for book in books.runs.values())
    took = max(change.at for book in books.runs.values() for change in book.changes) - faults.began
    crashes = sum(step["crashes"] for book in books.runs.values() for step in book.steps)
    report_figures(
        f"workflows: {len(books.runs)} runs in {took:.0f} s, {SECONDS:g} s of storm; faults: {dict(faults.killed)}; ended: {dict(ends)}"
    )
    bought = sum(map(len, books.purchases.values()))
    report_figures(
        f"steps: {sum(len(book.steps) for book in books.runs.values())}, taken from dead workers {crashes} times; {bought} purchases"
    )
    report_figures(f"executions of steps: {dict(books.states)}")
    report_figures(
        f"no step moved for at most {gap[0]:.1f} s ({gap[1]}); one that was due at a fault for at most {stranded[0]:.1f} s ({stranded[1]})"
    )
