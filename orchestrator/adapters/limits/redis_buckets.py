"""Token buckets in Redis, shared by all processes, behind buckets in this process."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any, Self

import hiredis
import structlog
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.limits.limiter import Charge, Verdict
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.limits.local import LocalLimits
from orchestrator.adapters.limits.reserve import Reserve

log = structlog.get_logger()

SCRIPT = (Path(__file__).parent / "take_tokens.lua").read_text()
_DIGEST = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
ANSWER_SECONDS = 0.025
CONNECT_SECONDS = 1.0
FAILURES = 3
"""Consecutive failures after which Redis is not asked for a while. A single late answer is usually due to this machine."""
REST_SECONDS = 1.0
"""For how long."""
LARGEST_GROUP = 128
GATHER_SECONDS = 0.003
"""The interval between round trips while calls share them. A single call does not wait."""
LOCAL = Counter("rate_limit_local_total", "Calls whose limits were counted in the process because Redis did not answer")
_MICROSECONDS = 1_000_000
_CAPACITY = 60 * _MICROSECONDS
"""A bucket holds the tokens of one minute."""

_TAKEN = Verdict(present=())


@dataclass(slots=True)
class _Request:
    charges: Sequence[Charge]
    watch: Sequence[str]
    answer: "asyncio.Future[Verdict]"


class RedisLimits:
    """Uses one connection and one round trip at a time; calls that arrive meanwhile share the next one. An async context manager.

    A round trip takes tokens ahead for the same caller's next calls, which then need none; see Reserve.

    A bucket in this process never holds fewer tokens than the shared one unless Redis loses data, so a call that it refuses needs no
    round trip. If Redis does not answer within 25 ms, the buckets of this process decide; they count every call, so no caller gains
    tokens. After three failures in a row, Redis is asked again one second later, by one group of calls.
    """

    def __init__(self, url: str, tasks: BackgroundTasks, seconds: float = ANSWER_SECONDS, clock: Clock = SYSTEM_CLOCK) -> None:
        self._now = clock.monotonic
        self._tasks = tasks
        self._connection = Redis.from_url(url, socket_connect_timeout=CONNECT_SECONDS).connection_pool.make_connection()
        self._seconds = seconds
        self._local = LocalLimits(clock)
        self._reserve = Reserve(clock)
        self._waiting: list[_Request] = []
        self._wake = asyncio.Event()
        self._rests_until = 0.0
        self._failures = 0

    async def __aenter__(self) -> Self:
        with suppress(RedisError, OSError, TimeoutError):  # the first call reports it
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._ask([])
        self._task = self._tasks.start("limits in Redis", self._run())
        self._task.add_done_callback(lambda _: self._give_up(self._waiting))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.stop(self._task)
        await self._connection.disconnect()

    async def take(self, charges: Sequence[Charge], watch: Sequence[str] = ()) -> Verdict:
        """Takes a token for every charge, or none; `present` is None when Redis did not answer."""
        verdict = self._local.take(charges)
        if verdict.refused_by is not None:
            return verdict
        if not watch and self._reserve.take(charges):
            return _TAKEN
        if self._task.done():  # the process is draining
            LOCAL.inc()
            return verdict
        if self._failures >= FAILURES:
            now = self._now()
            if now < self._rests_until:
                LOCAL.inc()
                return verdict
            self._rests_until = now + REST_SECONDS  # this call asks
        request = _Request(charges, watch, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._wake.set()
        verdict = await request.answer
        if verdict.refused_by is not None:
            self._local.give_back(charges)
        return verdict

    async def _run(self) -> None:
        began, together = 0.0, 1
        while True:
            await self._wake.wait()
            if together > 1 and (early := began + GATHER_SECONDS - self._now()) > 0:
                await asyncio.sleep(early)
            began, together = self._now(), len(self._waiting)
            group, self._waiting = self._waiting[:LARGEST_GROUP], self._waiting[LARGEST_GROUP:]
            if not self._waiting:
                self._wake.clear()
            try:
                async with asyncio.timeout(self._seconds):
                    self._tell(group, await self._ask(group))
            except asyncio.CancelledError:
                self._give_up(group)
                raise
            except Exception as error:  # noqa: BLE001 - the callers must get an answer in any case
                await self._fall_back(group, error)
            else:
                if self._failures >= FAILURES:
                    log.info("limits_back_in_redis")
                self._failures = 0

    async def _ask(self, group: Sequence[_Request]) -> Any:
        keys: list[str] = []
        arguments: list[int | float] = []
        asked: set[str] = set()
        for request in group:
            keys += [charge.key for charge in request.charges]
            keys += request.watch
            arguments += len(request.charges), len(request.watch)
            for charge in request.charges:
                # A call that watches keys needs a round trip in any case, and so will its caller's next one.
                ahead = 0 if request.watch or charge.key in asked else self._reserve.wanted(charge)
                asked.add(charge.key)
                arguments += charge.interval_seconds * _MICROSECONDS, _CAPACITY, ahead
        try:
            return await self._call("EVALSHA", _DIGEST, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self._call("EVAL", SCRIPT, len(keys), *keys, *arguments)

    async def _call(self, *command: str | float) -> Any:
        """The answer of Redis. The client's own method to call a script would double the CPU; see docs/private-interfaces.md."""
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub allows only tuples of one
        await self._connection.send_packed_command(packed)
        return await self._connection.read_response()

    async def _fall_back(self, group: Sequence[_Request], error: Exception) -> None:
        self._failures += 1
        if self._failures == FAILURES:
            log.warning("limits_without_redis", problem=f"{type(error).__name__} {error}".rstrip())
        self._give_up(group)
        if self._failures >= FAILURES:
            self._rests_until = self._now() + REST_SECONDS
            self._give_up(self._waiting)
            self._waiting = []
            self._wake.clear()
        with suppress(RedisError, OSError):
            await self._connection.disconnect(nowait=True)  # its state is unknown

    def _tell(self, group: Sequence[_Request], answers: Sequence[Any]) -> None:
        at = 0
        for request in group:
            refused_by, wait = answers[at], answers[at + 1]
            present = tuple(exists == 1 for exists in answers[at + 2 : at + 2 + len(request.watch)])
            at += 2 + len(request.watch)
            for charge in request.charges:
                if ahead := answers[at]:
                    self._reserve.put(charge, ahead)
                at += 1
            if not request.answer.done():
                refusal = request.charges[refused_by - 1] if refused_by else None
                request.answer.set_result(Verdict(refusal, wait / _MICROSECONDS, present))

    def _give_up(self, group: Sequence[_Request]) -> None:
        for request in group:
            if not request.answer.done():
                LOCAL.inc()
                request.answer.set_result(Verdict())
