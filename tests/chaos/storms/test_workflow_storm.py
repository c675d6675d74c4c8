"""Workflows under load while workers, the orchestrator, Redis and PostgreSQL are killed, again and again.

CHAOS_RUNS and CHAOS_SECONDS make the storm larger and longer: `make chaos`.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import pytest

from deploy.local.stack import Stack
from tests.chaos.conftest import ENVIRONMENT, running_stack
from tests.chaos.quiet import set_pace, settled, well
from tests.chaos.reconcile import Books, reconcile
from tests.chaos.run_books import COMPLETED, FINAL, RunBook
from tests.chaos.runs import Runs, runs_of
from tests.chaos.starts import Crowd, unreliable_provider
from tests.chaos.wounds import Fault, Weather
from tests.conftest import ReportFigures
from tests.support.waiting import eventually

RUNS = int(os.environ.get("CHAOS_RUNS", "60"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "30"))
LEASE_SECONDS = 4
MOVES_AGAIN_SECONDS = 10.0
CALM_SECONDS = 60 + SECONDS / 2
"""How long what is left may take when nothing is hurt any more."""
CRASH_LIMIT = 8
OPEN = ("ready", "running")
RETRY = {"max_attempts": 8, "delay_seconds": 0.2}


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory, compiled: Mapping[str, str]) -> AsyncIterator[Stack]:
    """Two workers, with the leases of the promise."""
    leases = {"EXECUTION_LEASE_SECONDS": str(LEASE_SECONDS), "STEP_LEASE_SECONDS": str(LEASE_SECONDS)}
    paces = {"STEP_POLL_SECONDS": "1", "SWEEP_SECONDS": "1", "STEP_CRASH_LIMIT": str(CRASH_LIMIT)}  # the first two are the workers' own
    environment = {**ENVIRONMENT, **leases, **paces, **compiled}
    async with running_stack(tmp_path_factory.mktemp("storm"), environment, workers=2) as running:
        yield running


@pytest.fixture
async def runs(stack: Stack) -> AsyncIterator[Runs]:
    async with runs_of(stack) as runs:
        yield runs


@pytest.mark.timeout(SECONDS + 2 * CALM_SECONDS + 120)
async def test_every_run_ends_whatever_is_killed(stack: Stack, runs: Runs, report_figures: ReportFigures) -> None:
    """Every run reaches its end, no step completes twice, steps move again soon after each fault, and all books agree."""
    await set_pace(stack, delay_ms=300)
    weather, crowd = Weather(stack), Crowd(runs, RETRY)
    async with unreliable_provider(stack):
        await asyncio.gather(weather.rage(SECONDS), crowd.start_runs(RUNS, SECONDS))
    await well(stack)
    await all_ended(runs, RUNS)
    await settled(stack)
    books = await reconcile(stack.database_url, stack.simulator_log, [], crowd.starts)
    gap, stranded = largest_gap(books.runs.values(), weather.faults), longest_wait(books.runs.values(), weather.faults)
    report(report_figures, weather, books, gap, stranded)
    assert {"worker", "worker-1", "orchestrator", "redis", "postgres"} <= weather.killed.keys()
    assert len(books.runs) == RUNS
    assert not [problem for book in books.runs.values() for problem in unreasonable(book)]
    assert books.states["failed"], "the flaky step was never flaky"
    assert gap[0] < MOVES_AGAIN_SECONDS
    assert stranded[0] < MOVES_AGAIN_SECONDS


async def all_ended(runs: Runs, number: int) -> None:
    """Waits until so many runs are final."""
    count = "SELECT count(*) AS n FROM runs WHERE status = ANY($1::text[])"

    async def ended() -> bool:
        return bool((await runs.rows(count, FINAL))[0]["n"] >= number)

    await eventually(ended, CALM_SECONDS)


def unreasonable(book: RunBook) -> list[str]:
    """Why a run should have been completed, unless it was or one of its steps had been tried as often as it may be.

    A worker that is killed every five seconds can hit the same step again and again; after CRASH_LIMIT times it is given up.
    """
    failed = [step for step in book.steps if step["status"] == "failed"]
    exhausted = any(step["attempts"] - step["crashes"] >= RETRY["max_attempts"] or step["crashes"] >= CRASH_LIMIT for step in failed)
    return [] if book.row["status"] == COMPLETED or exhausted else [f"run {book.row['run_id']}: {book.row['failure']}"]


def largest_gap(books: Iterable[RunBook], faults: Sequence[Fault]) -> tuple[float, str]:
    """The longest time in which there was something to do and no step of any run changed, and what had been hurt last."""
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
    """How long the unluckiest step that was ready or ran when something was hurt had to wait for its next change; what was hurt."""
    waits = [(0.0, "nothing")]
    for book in books:
        since: dict[str, float] = {}
        for change in book.changes:
            began = since.pop(change.task_id, None)
            waits += [(change.at - fault.at, fault.name) for fault in faults if began is not None and began <= fault.at < change.at]
            if change.state in OPEN:
                since[change.task_id] = change.at
    return max(waits)


def report(report_figures: ReportFigures, weather: Weather, books: Books, gap: tuple[float, str], stranded: tuple[float, str]) -> None:
    """The figures of the storm."""
    ends = Counter(book.row["status"] for book in books.runs.values())
    took = max(change.at for book in books.runs.values() for change in book.changes) - weather.began
    crashes = sum(step["crashes"] for book in books.runs.values() for step in book.steps)
    report_figures(
        f"workflows: {len(books.runs)} runs in {took:.0f} s, {SECONDS:g} s of storm; hurt: {dict(weather.killed)}; ended: {dict(ends)}"
    )
    bought = sum(map(len, books.purchases.values()))
    report_figures(
        f"steps: {sum(len(book.steps) for book in books.runs.values())}, taken from dead workers {crashes} times; {bought} purchases"
    )
    report_figures(f"executions of steps: {dict(books.states)}")
    report_figures(
        f"no step moved for at most {gap[0]:.1f} s ({gap[1]}); one that was due at a fault for at most {stranded[0]:.1f} s ({stranded[1]})"
    )
