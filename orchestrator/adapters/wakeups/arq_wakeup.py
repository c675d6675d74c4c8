"""The wakeup of workers: an arq job that only wakes a worker's dispatcher.

A job carries only ids and is deleted when a worker receives it. The work itself is stored in PostgreSQL, so arq's timeouts, retries and
losses never affect a step.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog
from arq.connections import ArqRedis
from arq.worker import Worker, func
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from mesh import backoff
from mesh.clock import SYSTEM_CLOCK, Clock

log = structlog.get_logger()

QUEUE = "agentmesh:wakeups"
JOB = "notify"
JOB_EXPIRES_SECONDS = 60
"""By then every worker has polled, so the job is no longer needed."""
JOB_TIMEOUT_SECONDS = 5
SEND_SECONDS = 1.0
CONNECT_SECONDS = 1.0
GATHER_SECONDS = 0.05
"""Notifications within this time become one job."""
_LONGEST_PAUSE_SECONDS = 5.0


def _serialize(job: dict[str, Any]) -> bytes:
    return json.dumps(job).encode()


def _connect(redis_url: str) -> ArqRedis:
    pool = ConnectionPool.from_url(redis_url, socket_connect_timeout=CONNECT_SECONDS)
    return ArqRedis(pool, job_serializer=_serialize, job_deserializer=json.loads, default_queue_name=QUEUE)


class ArqWakeup:
    """Wakes a worker. At most one job is queued however many runs notify, because the worker that receives it claims every ready step.

    `at_once` sends the notification by a faster channel too, which a worker that has just lost its connection does not receive.
    """

    def __init__(self, redis_url: str, at_once: Callable[[], None]) -> None:
        self._redis = _connect(redis_url)
        self._at_once = at_once
        self._to_send = asyncio.Event()
        self._latest: UUID | None = None

    async def run(self) -> None:
        try:
            while True:
                await self._to_send.wait()
                self._to_send.clear()
                try:
                    async with asyncio.timeout(SEND_SECONDS):
                        await self._redis.enqueue_job(JOB, str(self._latest), _job_id=JOB, _expires=JOB_EXPIRES_SECONDS)
                except (RedisError, OSError, TimeoutError) as error:
                    log.warning("wakeup_not_sent", error=type(error).__name__)
                    await asyncio.sleep(SEND_SECONDS)
                await asyncio.sleep(GATHER_SECONDS)
        finally:
            await self._redis.aclose()

    def notify(self, run_id: UUID) -> None:
        """Wakes a worker for a run; see the port."""
        self._at_once()
        self._latest = run_id
        self._to_send.set()


class ArqWakeupListener:
    """Receives wakeups in a worker. arq's worker ends when Redis is lost; a new one is then started."""

    def __init__(self, redis_url: str, poll_seconds: float, on_wakeup: Callable[[], None], clock: Clock = SYSTEM_CLOCK) -> None:
        self._now = clock.monotonic
        self._redis_url = redis_url
        self._poll = poll_seconds
        self._on_wakeup = on_wakeup

    async def run(self) -> None:
        pauses = backoff.delays(_LONGEST_PAUSE_SECONDS)
        while True:
            started_at = self._now()
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("wakeup_listener_disconnected", error=type(error).__name__)
            except Exception as error:  # no fault of arq's worker may end this loop
                log.exception("wakeup_listener_failed", exc_info=error)
            if self._now() - started_at > _LONGEST_PAUSE_SECONDS:
                pauses = backoff.delays(_LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(next(pauses))

    async def _listen(self) -> None:
        redis = _connect(self._redis_url)
        worker = Worker(
            [func(self._notify, name=JOB)],
            queue_name=QUEUE,
            redis_pool=redis,
            handle_signals=False,
            max_jobs=100,
            job_timeout=JOB_TIMEOUT_SECONDS,
            keep_result=0,
            poll_delay=self._poll,
            max_tries=1,
            retry_jobs=False,
            job_serializer=_serialize,
            job_deserializer=json.loads,
            log_results=False,
        )
        try:
            await worker.async_run()
        finally:
            # Not Worker.close: it waits for the jobs that it has just cancelled and raises their CancelledError here.
            for task in worker.tasks.values():
                task.cancel()
            if worker.tasks:
                await asyncio.wait(worker.tasks.values())
            with suppress(RedisError, OSError, TimeoutError):
                await redis.close(close_connection_pool=True)

    async def _notify(self, *_: Any, **__: Any) -> None:
        self._on_wakeup()
