"""The sessions that have ended: Redis answers on the round trip that counts a call, and PostgreSQL decides.

Redis has a key for each session that ended before its last access token expires, and a sentinel that says that no such key is missing.
Redis may lose data at any time: without the sentinel PostgreSQL is asked, and the list is written again. After a write that failed, or
that may have been lost with a connection, this process does not trust the sentinel until it has written the list itself. Every second
each process copies the sessions that ended recently, so that none is lost with the process that ended it.
"""

import asyncio
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mesh.errors import ServiceUnavailable
from orchestrator.identity.model import Session

log = structlog.get_logger()

SENTINEL = "agentmesh:revoked:complete"
_FILLING = "agentmesh:revoked:filling"
_SPREAD_SECONDS = 0.1
PAUSE_SECONDS = 1.0
"""The interval between copies."""
COPIED_SECONDS = 30.0
"""How far back a copy reaches: longer than any transaction that ends a session."""
_WRITE_SECONDS = 5.0
_BATCH = 1000
_REDIS_LOST = (RedisError, OSError, TimeoutError)

# The list is complete only if Redis lost nothing meanwhile, that is, if the mark that was set before writing still exists.
_COMPLETE = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], '1')
redis.call('DEL', KEYS[2])
return 1
"""


def revocation_key(session_id: UUID) -> str:
    """The key that exists from the end of a session until its last access token expires."""
    return f"agentmesh:revoked:{session_id.hex}"


class SessionLedger(Protocol):
    """The stored sessions. Raises ServiceUnavailable."""

    async def session_is_open(self, session_id: UUID) -> bool:
        """Whether the session exists and has not ended."""
        ...

    async def ended_sessions(self, within_seconds: float | None) -> Sequence[tuple[UUID, datetime]]:
        """Sessions that ended (recently, or ever) before their last access token expires, and when that is."""
        ...


class RedisRevocations:
    """Implements the ports `RevocationList` and `Sessions`. Run `follow` for the lifetime of the process."""

    def __init__(self, redis: Redis, ledger: SessionLedger) -> None:
        self._redis = redis
        self._ledger = ledger
        self._complete = redis.register_script(_COMPLETE)
        self._trusted = False
        self._wake = asyncio.Event()

    def watched(self, session_id: UUID) -> Sequence[str]:
        """The sentinel and the session's key, while they are trusted; see the port."""
        return (SENTINEL, revocation_key(session_id)) if self._trusted else ()

    async def is_revoked(self, session_id: UUID, present: Sequence[bool] | None) -> bool:
        """Whether the session has ended; see the port."""
        if present:
            complete, revoked = present
            if revoked:
                return True
            if complete:
                return False
            self._distrust("the sentinel is missing")
        elif present is None and self._trusted:
            self._distrust("Redis did not answer")
        return not await self._ledger.session_is_open(session_id)

    async def add(self, ended: Sequence[Session]) -> None:
        """Spreads the end of sessions; see the port. `follow` copies what exceeds one batch within a second."""
        try:
            async with asyncio.timeout(_SPREAD_SECONDS):
                await self._write([(session.session_id, session.access_until) for session in ended[:_BATCH]])
        except _REDIS_LOST as error:
            self._distrust(type(error).__name__)

    async def follow(self) -> None:
        """Writes the list whenever it may be incomplete, and copies recently ended sessions, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_WRITE_SECONDS):
                    await (self._copy_lately() if self._trusted else self._fill())
            except (ServiceUnavailable, *_REDIS_LOST) as error:
                self._distrust(type(error).__name__)
            self._wake.clear()
            try:
                async with asyncio.timeout(PAUSE_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _fill(self) -> None:
        mark = secrets.token_hex(8)
        await self._redis.set(_FILLING, mark, ex=60)
        ended = await self._ledger.ended_sessions(None)
        for start in range(0, len(ended), _BATCH):
            await self._write(ended[start : start + _BATCH])
        if await self._complete(keys=[SENTINEL, _FILLING], args=[mark]):
            self._trusted = True
            log.info("revocations_written", sessions=len(ended))

    async def _copy_lately(self) -> None:
        await self._write(await self._ledger.ended_sessions(COPIED_SECONDS))

    async def _write(self, ended: Sequence[tuple[UUID, datetime]]) -> None:
        if not ended:
            return
        async with self._redis.pipeline(transaction=False) as pipeline:
            for session_id, until in ended:
                pipeline.set(revocation_key(session_id), "1", exat=int(until.timestamp()) + 60)
            await pipeline.execute()

    def _distrust(self, why: str) -> None:
        if self._trusted:
            log.warning("revocations_distrusted", why=why)
        self._trusted = False
        self._wake.set()
