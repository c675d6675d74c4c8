"""The store of steps on PostgreSQL: assigns steps to a worker and applies its reports."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Self
from uuid import UUID

import asyncpg

from mesh.tasks import BackgroundTasks
from orchestrator.adapters.postgres.connection import Connection, LazyConnection
from orchestrator.adapters.postgres.documents import document
from orchestrator.adapters.postgres.engine import CONNECTION_LOST, database_unavailable
from orchestrator.adapters.postgres.group_commit import GroupCommit
from orchestrator.adapters.workflows import ledger, rows, sql
from orchestrator.adapters.workflows.claims import claim_sql
from orchestrator.adapters.workflows.claims.claims import FairClaims, Shares
from orchestrator.adapters.workflows.commit_notifier import CommitNotifier
from orchestrator.workflows import failpoints
from orchestrator.workflows.assignment import Assignment, Claimed, Completed, HandedBack, LeaseId, Report, Reported, Spent
from orchestrator.workflows.engine.tokens import OwnerTokens
from orchestrator.workflows.errors import ReportRefused
from orchestrator.workflows.model import StepState
from orchestrator.workflows.progress.progress import Progress

LARGEST_CLAIM = 256
RECOVERED_AT_ONCE = 200

_TRANSIENT = (*CONNECTION_LOST, asyncpg.TransactionRollbackError)
"""The errors that a retry of the same statement may not meet."""


@dataclass(frozen=True, slots=True)
class Leases:
    """How long a lease lasts without renewal, and how many crashed workers a step is allowed."""

    seconds: float
    crash_limit: int


class PostgresStepStore:
    """See the port. One per worker; an async context manager."""

    def __init__(
        self,
        database_url: str,
        owner: UUID,
        leases: Leases,
        shares: Shares,
        tokens: OwnerTokens,
        commits: CommitNotifier,
        tasks: BackgroundTasks,
    ) -> None:
        self._owner = owner
        self._leases = leases
        self._tokens = tokens
        self._commits = commits
        self._fair = FairClaims(owner, shares, tokens)
        self._reports: GroupCommit[Report, Reported] = GroupCommit(database_url, self._write_reports, tasks)
        self._claims = LazyConnection(database_url, claim_sql.SESSION)
        self._renewal = LazyConnection(database_url)
        self._recovery = LazyConnection(database_url)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._reports)
            stack.push_async_callback(self._claims.close)
            stack.push_async_callback(self._renewal.close)
            stack.push_async_callback(self._recovery.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def claim(self, limit: int) -> Claimed:
        """Claims ready steps; see the port."""
        with _unavailable(self._claims):
            connection = await self._claims.get()
            async with connection.transaction():
                batch = await self._fair.lock(connection, min(limit, LARGEST_CLAIM))
                taken = [step for step in batch.steps if batch.runs[step[0]].begin(step[1], self._owner, self._leases.seconds)]
                changed = await ledger.write(connection, batch.runs.values())
                failpoints.BEFORE_CLAIM.hit()
            failpoints.AFTER_CLAIM.hit()
            self._commits.notify(changed)
            work = await ledger.assignments(connection, taken)
        return Claimed(list(work.values()), batch.more, batch.limited, self._tokens.refill_in)

    async def report(self, report: Report) -> Reported:
        """Applies a report; see the port."""
        try:
            return await self._reports.submit(report)
        except _TRANSIENT as error:
            raise database_unavailable() from error
        except asyncpg.PostgresError as error:
            raise ReportRefused(f"{type(error).__name__}: {error}") from error

    async def renew(self, lease_ids: Collection[LeaseId]) -> Collection[LeaseId]:
        """Renews the leases and returns those that are still valid."""
        lease = self._leases.seconds
        with _unavailable(self._renewal):
            connection = await self._renewal.get()
            found = await connection.fetch(
                sql.RENEW, document([lease_id._asdict() for lease_id in lease_ids]), self._owner, lease, lease * 2 / 3
            )
        return {rows.lease_id(row) for row in found}

    async def unconfirmed(self, lease_ids: Collection[LeaseId]) -> Sequence[Assignment]:
        """Returns the steps of claims whose commit was not confirmed; see the port."""
        with _unavailable(self._renewal):
            connection = await self._renewal.get()
            owned = {rows.lease_id(row) for row in await connection.fetch(sql.OWNED, self._owner)} - set(lease_ids)
            work = await ledger.assignments(connection, [(lease_id.run_id, lease_id.task_id) for lease_id in owned])
        return [assignment for assignment in work.values() if assignment.lease_id in owned]

    async def recover(self) -> int:
        """Releases steps of dead workers, decides expired approvals and cancels abandoned runs; see the port."""
        with _unavailable(self._recovery):
            recovered = await self._recover(sql.LOCK_EXPIRED_LEASES, self._expire_lease) + await self._recover(
                sql.LOCK_EXPIRED_APPROVALS, _expire_approval
            )
            return recovered + await self._cancel_abandoned()

    async def queue_age(self) -> float:
        """Returns for how many seconds the oldest ready step has been due; 0 if none is waiting."""
        with _unavailable(self._recovery):
            return float(await (await self._recovery.get()).fetchval(claim_sql.QUEUE_AGE))

    async def _recover(self, statement: str, apply: Callable[[Progress, str, Spent], None]) -> int:
        connection = await self._recovery.get()
        async with connection.transaction():
            locked = await connection.fetch(statement, RECOVERED_AT_ONCE)
            if not locked:
                return 0
            runs = await ledger.load(connection, locked)
            steps = [(row["run_id"], row["task_id"]) for row in locked]
            bought = await ledger.spent(connection, steps)
            for run_id, task_id in steps:
                apply(runs[run_id], task_id, bought.get((run_id, task_id), Spent()))
            changed = await ledger.write(connection, runs.values())
            failpoints.BEFORE_RECOVERY.hit()
        failpoints.AFTER_RECOVERY.hit()
        self._commits.notify(changed)
        return len(steps)

    async def _cancel_abandoned(self) -> int:
        """Cancels the runs of disabled and deleted users."""
        connection = await self._recovery.get()
        async with connection.transaction():
            runs = await ledger.load(connection, await connection.fetch(sql.LOCK_ABANDONED, RECOVERED_AT_ONCE))
            for progress in runs.values():
                progress.cancel()
            changed = await ledger.write(connection, runs.values())
        self._commits.notify(changed)
        return len(changed)

    def _expire_lease(self, progress: Progress, task_id: str, spent: Spent) -> None:
        progress.lease_expired(task_id, spent, self._leases.crash_limit)

    async def _write_reports(self, connection: Connection, reports: Sequence[Report]) -> Sequence[Reported]:
        async with connection.transaction():
            runs = await ledger.lock(connection, {report.lease_id.run_id for report in reports})
            bought = await ledger.spent(connection, [(report.lease_id.run_id, report.lease_id.task_id) for report in reports])
            unsettled = [_unsettled(report, bought) for report in reports]
            applied = [
                (False, None) if waits else self._apply(runs.get(report.lease_id.run_id), report, bought)
                for report, waits in zip(reports, unsettled, strict=True)
            ]
            changed = await ledger.write(connection, runs.values())
            failpoints.BEFORE_REPORT.hit()
        failpoints.AFTER_REPORT.hit()
        self._commits.notify(changed)
        following = [(report.lease_id.run_id, after) for report, (_, after) in zip(reports, applied, strict=True) if after]
        work = await ledger.assignments(connection, following)
        return [
            _reported(runs[report.lease_id.run_id], report, work.get((report.lease_id.run_id, after or "")))
            if counted
            else Reported(counted=False, unsettled=waits)
            for report, (counted, after), waits in zip(reports, applied, unsettled, strict=True)
        ]

    def _apply(self, progress: Progress | None, report: Report, bought: Mapping[rows.StepId, Spent]) -> tuple[bool, str | None]:
        """Applies a report. Returns whether it counts, and the successor that is assigned to the same worker."""
        lease_id = report.lease_id
        spent = bought.get((lease_id.run_id, lease_id.task_id), Spent())
        if progress is None or not progress.report(lease_id.task_id, self._owner, lease_id.epoch, report.outcome, spent):
            return False, None
        if not report.take_successor or not isinstance(report.outcome, Completed) or progress.successor(lease_id.task_id) is None:
            return True, None
        if not self._tokens.take_spare(progress.run.principal):
            return True, None
        return True, progress.begin_successor(lease_id.task_id, self._owner, self._leases.seconds)


def _unsettled(report: Report, bought: Mapping[rows.StepId, Spent]) -> bool:
    """Whether the database has lost the settlement that belongs to the outcome; workers settle an execution before they report."""
    if not report.settled or isinstance(report.outcome, HandedBack):
        return False
    spent = bought.get((report.lease_id.run_id, report.lease_id.task_id), Spent())
    return spent.running or (isinstance(report.outcome, Completed) and spent.execution_id is not None and not spent.answered)


@contextmanager
def _unavailable(connection: LazyConnection) -> Iterator[None]:
    """Raises ServiceUnavailable if the database is unavailable. Drops the connection, because its state is then unknown."""
    try:
        yield
    except _TRANSIENT as error:
        connection.drop()
        raise database_unavailable() from error


def _expire_approval(progress: Progress, task_id: str, _: Spent) -> None:
    progress.approval_timed_out(task_id)


def _reported(progress: Progress, report: Report, following: Assignment | None) -> Reported:
    record = progress.records[report.lease_id.task_id]
    retry_in = None
    if record.step.state is StepState.READY and record.due_at is not None:
        retry_in = (record.due_at - progress.now).total_seconds()
    ready = any(r.step.state is StepState.READY for task_id, r in progress.touched.items() if task_id != report.lease_id.task_id)
    return Reported(True, record.step.state, following, ready, retry_in)
