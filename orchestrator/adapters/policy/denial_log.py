"""Writes denials and acts of administrators to the audit log in the background, in batches: a call does not wait for its entry."""

import asyncio
from collections import deque
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
MOST = 1000
"""Entries waiting to be written. Further ones are only counted, in the process's log."""


class PostgresDenialLog:
    """Implements `orchestrator.policy.ports.DenialLog`. An async context manager; it writes what is waiting before it exits."""

    def __init__(self, engine: AsyncEngine, tasks: BackgroundTasks) -> None:
        self._tasks = tasks
        self._engine = engine
        self._stop = asyncio.Event()
        self._waiting: deque[AuditEntry] = deque()
        self._lost = 0

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
        if len(self._waiting) >= MOST:
            self._lost += 1
            return
        if who.api_key_id:
            details["api_key_id"] = str(who.api_key_id)
        self._waiting.append(AuditEntry(action, who.user_id, what, Origin(current_address(), correlation.current()), details))

    async def _write_forever(self) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._stop.wait()
            await self._write()

    async def _write(self) -> None:
        if self._lost:
            log.warning("audit_entries_lost", entries=self._lost)
            self._lost = 0
        if not self._waiting:
            return
        entries = list(self._waiting)
        try:
            with unavailable():
                async with self._engine.begin() as connection:
                    await connection.execute(insert(audit_log), [audit_values(entry) for entry in entries])
        except ServiceUnavailable:
            return  # kept, and tried again
        for _ in entries:
            self._waiting.popleft()
