"""Writes denials and acts of administrators to the audit log in the background, in batches: a call does not wait for its entry."""

import asyncio
from collections import Counter, deque
from contextlib import suppress
from typing import Any, Self

import structlog
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh import correlation
from mesh.errors import ServiceUnavailable
from mesh.security.caller import Caller, current_address
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.identity.tables import audit_log
from orchestrator.adapters.identity.unit_of_work import audit_values
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.identity.model import Action, AuditEntry, Origin

log = structlog.get_logger()

WRITE_SECONDS = 0.5
OTHERS = -1
"""Stands for the users beyond the first thousand whose entries are omitted at the same time."""
MOST = 1000
"""Entries of all users that wait to be written."""
MOST_OF_USER = 100
"""Entries of one user that wait to be written. Further ones are counted in one entry, so that one account's flood cannot push out the
entries of others."""
RESERVED_OF_USER = 5
"""So many entries of a user are accepted even if other users have filled the log."""
MOST_AT_ALL = 10 * MOST
"""A bound on memory while the database is away, also when thousands of users use their reserve."""


class PostgresDenialLog:
    """Implements `orchestrator.policy.ports.DenialLog`. An async context manager; it writes what is waiting before it exits."""

    def __init__(self, engine: AsyncEngine, tasks: BackgroundTasks) -> None:
        self._tasks = tasks
        self._engine = engine
        self._stop = asyncio.Event()
        self._waiting: deque[AuditEntry] = deque()
        self._waiting_of: Counter[int] = Counter()
        self._omitted: Counter[int] = Counter()
        """By user."""

    async def __aenter__(self) -> Self:
        self._task = self._tasks.start("denial log", self._write_forever())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._tasks.join(self._task)

    def denied(self, who: Caller, what: str, rule: str) -> None:
        """Records a denial; see the port."""
        self._add(Action.DENIED, who, what, {"rule": rule})

    def administered(self, who: Caller, what: str, owner_id: int) -> None:
        """Records that an administrator changed an object of another user; see the port."""
        self._add(Action.ADMINISTERED, who, what, {"owner_id": owner_id})

    def _add(self, action: Action, who: Caller, what: str, details: dict[str, Any]) -> None:
        if not self._has_room(who.user_id):
            self._omitted[who.user_id if who.user_id in self._omitted or len(self._omitted) < MOST else OTHERS] += 1
            return
        self._waiting_of[who.user_id] += 1
        if who.api_key_id:
            details["api_key_id"] = str(who.api_key_id)
        self._waiting.append(AuditEntry(action, who.user_id, what, Origin(current_address(), correlation.current()), details))

    def _has_room(self, user_id: int) -> bool:
        total, own = len(self._waiting), self._waiting_of[user_id]
        return own < (MOST_OF_USER if total < MOST else RESERVED_OF_USER) and total < MOST_AT_ALL

    async def _write_forever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._stop.wait()
            await self._write()
            if self._stop.is_set():
                return

    async def _write(self) -> None:
        waiting, omitted = list(self._waiting), dict(self._omitted)
        entries = [*waiting, *(_summary(user_id, number) for user_id, number in omitted.items())]
        if not entries:
            return
        try:
            with unavailable():
                async with self._engine.begin() as connection:
                    await connection.execute(insert(audit_log), [audit_values(entry) for entry in entries])
        except ServiceUnavailable:
            return  # kept, and tried again
        for entry in waiting:
            self._waiting.popleft()
            self._waiting_of[entry.actor_id or 0] -= 1
        self._omitted.subtract(omitted)
        self._waiting_of, self._omitted = +self._waiting_of, +self._omitted  # forgets users without entries
        if omitted:
            log.warning("audit_entries_omitted", entries=sum(omitted.values()), users=len(omitted))


def _summary(user_id: int, number: int) -> AuditEntry:
    actor_id = None if user_id == OTHERS else user_id
    return AuditEntry(Action.DENIED, actor_id, "entries that came too fast to be recorded", Origin("", ""), {"omitted": number})
