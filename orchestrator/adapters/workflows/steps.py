"""The engine's side of the runs on PostgreSQL: gives steps to a worker, and takes its word about them."""

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
from orchestrator.adapters.workflows import claim_sql, ledger, rows, sql
from orchestrator.adapters.workflows.claims import FairClaims, Shares
from orchestrator.adapters.workflows.commit_notifier import CommitNotifier
from orchestrator.workflows import failpoints
from orchestrator.workflows.assignment import Assignment, Claimed, Completed, HandedBack, LeaseId, Report, Reported, Spent
from orchestrator.workflows.engine.tokens import OwnerTokens
from orchestrator.workflows.errors import ReportRefused
from orchestrator.workflows.model import StepState
from orchestrator.workflows.progress import Progress

LARGEST_CLAIM = 256
TENDED_AT_ONCE = 200


_PASSING = (*CONNECTION_LOST, asyncpg.TransactionRollbackError)
"""What the same statement may not meet again."""


@dataclass(frozen=True, slots=True)
class Leases:
    """How long a worker has a step without a sign of life, and how often a step may kill its worker."""

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
        self._keeping = LazyConnection(database_url)
        self._tending = LazyConnection(database_url)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._reports)
            stack.push_async_callback(self._claims.close)
            stack.push_async_callback(self._keeping.close)
            stack.push_async_callback(self._tending.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def claim(self, limit: int) -> Claimed:
        """Takes steps that are ready; see the port."""
        with _unavailable(self._claims):
            connection = await self._claims.get()
            async with connection.transaction():
                batch = await self._fair.lock(connection, min(limit, LARGEST_CLAIM))
                taken = [step for step in batch.steps if batch.runs[step[0]].begin(step[1], self._owner, self._leases.seconds)]
                changed = await ledger.write(connection, batch.runs.values())
                failpoints.BEFORE_CLAIM.hit()
            failpoints.AFTER_CLAIM.hit()
            self._commits.tell(changed)
            work = await ledger.assignments(connection, taken)
        return Claimed(list(work.values()), batch.more, batch.limited, self._tokens.refill_in)

    async def report(self, report: Report) -> Reported:
        """Takes a worker's word about a step; see the port."""
        try:
            return await self._reports.submit(report)
        except _PASSING as error:
            raise database_unavailable() from error
        except asyncpg.PostgresError as error:
            raise ReportRefused(f"{type(error).__name__}: {error}") from error

    async def renew(self, lease_ids: Collection[LeaseId]) -> Collection[LeaseId]:
        """Prolongs the leases; returns the lease_ids that still count."""
        lease = self._leases.seconds
        with _unavailable(self._keeping):
            connection = await self._keeping.get()
            found = await connection.fetch(
                sql.RENEW, document([lease_id._asdict() for lease_id in lease_ids]), self._owner, lease, lease * 2 / 3
            )
        return {rows.lease_id(row) for row in found}

    async def forgotten(self, lease_ids: Collection[LeaseId]) -> Sequence[Assignment]:
        """The steps that were given to this worker without its learning of it: the commit was not confirmed."""
        with _unavailable(self._keeping):
            connection = await self._keeping.get()
            mine = {rows.lease_id(row) for row in await connection.fetch(sql.MINE, self._owner)} - set(lease_ids)
            work = await ledger.assignments(connection, [(lease_id.run_id, lease_id.task_id) for lease_id in mine])
        return [assignment for assignment in work.values() if assignment.lease_id in mine]

    async def recover(self) -> int:
        """Frees the steps of dead workers and closes questions that nobody answered in time; returns how many there were."""
        with _unavailable(self._tending):
            recovered = await self._recover(sql.LOCK_LOST, self._lose) + await self._recover(sql.LOCK_SILENT, _silence)
            return recovered + await self._cancel_abandoned()

    async def queue_age(self) -> float:
        """For how many seconds the step that waits longest could have begun; 0 when none waits."""
        with _unavailable(self._tending):
            return float(await (await self._tending.get()).fetchval(claim_sql.QUEUE_AGE))

    async def _recover(self, statement: str, apply: Callable[[Progress, str, Spent], None]) -> int:
        connection = await self._tending.get()
        async with connection.transaction():
            locked = await connection.fetch(statement, TENDED_AT_ONCE)
            if not locked:
                return 0
            runs = await ledger.load(connection, locked)
            steps = [(row["run_id"], row["task_id"]) for row in locked]
            bought = await ledger.spent(connection, steps)
            for run_id, task_id in steps:
                apply(runs[run_id], task_id, bought.get((run_id, task_id), Spent()))
            changed = await ledger.write(connection, runs.values())
            failpoints.BEFORE_TENDING.hit()
        failpoints.AFTER_TENDING.hit()
        self._commits.tell(changed)
        return len(steps)

    async def _cancel_abandoned(self) -> int:
        """Cancels the runs of disabled and deleted users."""
        connection = await self._tending.get()
        async with connection.transaction():
            runs = await ledger.load(connection, await connection.fetch(sql.LOCK_ABANDONED, TENDED_AT_ONCE))
            for progress in runs.values():
                progress.cancel()
            changed = await ledger.write(connection, runs.values())
        self._commits.tell(changed)
        return len(changed)

    def _lose(self, progress: Progress, task_id: str, spent: Spent) -> None:
        progress.lost(task_id, spent, self._leases.crash_limit)

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
        self._commits.tell(changed)
        following = [(report.lease_id.run_id, after) for report, (_, after) in zip(reports, applied, strict=True) if after]
        work = await ledger.assignments(connection, following)
        return [
            _reported(runs[report.lease_id.run_id], report, work.get((report.lease_id.run_id, after or "")))
            if counted
            else Reported(counted=False, unsettled=waits)
            for report, (counted, after), waits in zip(reports, applied, unsettled, strict=True)
        ]

    def _apply(self, progress: Progress | None, report: Report, bought: Mapping[rows.StepId, Spent]) -> tuple[bool, str | None]:
        """Whether the report counts, and the successor that goes to the same worker."""
        lease_id = report.lease_id
        spent = bought.get((lease_id.run_id, lease_id.task_id), Spent())
        if progress is None or not progress.report(lease_id.task_id, self._owner, lease_id.epoch, report.outcome, spent):
            return False, None
        if not report.go_on or not isinstance(report.outcome, Completed) or progress.successor(lease_id.task_id) is None:
            return True, None
        if not self._tokens.take_spare(progress.run.principal):
            return True, None
        return True, progress.give_successor(lease_id.task_id, self._owner, self._leases.seconds)


def _unsettled(report: Report, bought: Mapping[rows.StepId, Spent]) -> bool:
    """Whether the database has lost the settlement on which the outcome rests; the worker settles it before it reports."""
    if not report.settled or isinstance(report.outcome, HandedBack):
        return False
    spent = bought.get((report.lease_id.run_id, report.lease_id.task_id), Spent())
    return spent.running or (isinstance(report.outcome, Completed) and spent.execution_id is not None and not spent.answered)


@contextmanager
def _unavailable(connection: LazyConnection) -> Iterator[None]:
    """Raises ServiceUnavailable where the database is gone; the connection's state is not known then."""
    try:
        yield
    except _PASSING as error:
        connection.drop()
        raise database_unavailable() from error


def _silence(progress: Progress, task_id: str, _: Spent) -> None:
    progress.approval_timed_out(task_id)


def _reported(progress: Progress, report: Report, following: Assignment | None) -> Reported:
    record = progress.records[report.lease_id.task_id]
    retry_in = None
    if record.step.state is StepState.READY and record.due_at is not None:
        retry_in = (record.due_at - progress.now).total_seconds()
    ready = any(r.step.state is StepState.READY for task_id, r in progress.touched.items() if task_id != report.lease_id.task_id)
    return Reported(True, record.step.state, following, ready, retry_in)
