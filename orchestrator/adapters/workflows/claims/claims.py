"""Claims steps by weighted round robin over the users who have ready steps."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from orchestrator.adapters.postgres.connection import Connection
from orchestrator.adapters.workflows import ledger
from orchestrator.adapters.workflows.claims import claim_sql as sql
from orchestrator.adapters.workflows.rows import StepId
from orchestrator.identity.model import Principal
from orchestrator.workflows.engine.tokens import OwnerTokens
from orchestrator.workflows.progress.progress import Progress


@dataclass(frozen=True, slots=True)
class Shares:
    """How many steps of one user may run at the same time, in all workers together and in this worker."""

    in_flight: int
    in_worker: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Claimed steps that may begin, and their locked runs."""

    runs: dict[UUID, Progress]
    steps: Sequence[StepId]
    more: bool
    """Whether more steps may be ready to claim now."""
    limited: bool
    """Whether a user has steps that wait until one of the user's running steps ends."""


class Round:
    """A worker's place in the round: the user after whom the next claim begins."""

    def __init__(self) -> None:
        self.after = 0
        self._last = 0
        self._in_a_row = 0

    def advance(self, users: Sequence[int], weight: float) -> None:
        """Records the users whose steps were claimed, in order. The last user stays first until its weight is used up."""
        last = users[-1]
        self._in_a_row = users.count(last) + (self._in_a_row if last == self._last else 0)
        self._last = last
        if self._in_a_row >= weight:
            self.after, self._in_a_row = last, 0
        else:
            self.after = last - 1


class FairClaims:
    """The claims of one worker, in the caller's transaction."""

    def __init__(self, owner: UUID, shares: Shares, tokens: OwnerTokens) -> None:
        self._owner = owner
        self._shares = shares
        self._tokens = tokens
        self._round = Round()

    async def lock(self, connection: Connection, limit: int) -> Batch:
        """Locks the runs of the next steps, at most `limit`, and takes the tokens of their users."""
        shares = self._shares
        found = await connection.fetch(
            sql.CLAIM, limit, self._round.after, shares.in_flight, shares.in_worker, self._owner, self._tokens.users_without()
        )
        locked = [row for row in found if row["run_id"] is not None]
        runs = await ledger.load(connection, locked)
        allowed = await self._allowed(runs, locked)
        visits, limited = found[0]["visits"], found[0]["limited"]
        if locked:
            self._round.advance([row["user_id"] for row in locked], locked[-1]["weight"])
        elif visits >= sql.MOST_VISITS:
            self._round.after = found[0]["last_visited"]
        more = len(locked) == limit or visits >= sql.MOST_VISITS
        return Batch(runs, allowed, more, limited)

    async def _allowed(self, runs: dict[UUID, Progress], locked: Sequence[asyncpg.Record]) -> list[StepId]:
        principals = [runs[row["run_id"]].run.principal for row in locked]
        left = Counter[Principal](await self._tokens.take(Counter(principals)))
        allowed = []
        for row, principal in zip(locked, principals, strict=True):
            if left[principal]:
                left[principal] -= 1
                allowed.append((row["run_id"], row["task_id"]))
        return allowed
