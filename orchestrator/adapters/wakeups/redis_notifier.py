"""The doorbell between processes: Redis pub/sub. It carries no state; whoever waits for it also looks by himself now and then."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any, Self
from uuid import uuid4

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

CHANNEL = "agentmesh:bell"
GATHER_SECONDS = 0.005
"""Rings that fall together travel in one message."""
UNHURRIED_SECONDS = 0.05
"""How long a ring waits for others when it can. Each message costs every process as much as a log line."""
AWAY_SECONDS = 1.0
SEND_SECONDS = 1.0


class Ear:
    """What one listener waits with."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Ends the wait, or the next one."""
        self._rung.set()

    async def wait(self, seconds: float) -> bool:
        """Whether the bell has rung since the last wait, or does so within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True


class RedisBell:
    """Rings topics: in this process at once, in the others through Redis. An async context manager.

    While Redis is away only this process hears; when it is back everybody here is woken once, for what may have been missed.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._name = uuid4().hex
        self._ears: defaultdict[str, set[Ear]] = defaultdict(set)
        self._unsent: set[str] = set()
        self._to_send = asyncio.Event()
        self._hurry = asyncio.Event()
        self._away = False

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for work in (self._send_forever(), self._receive_forever()):
                task = asyncio.create_task(work)
                stack.push_async_callback(_ended, task)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def ring(self, topic: str, *, hurry: bool = True) -> None:
        """Wakes everybody who listens to a topic: here at once, elsewhere as soon as can be or, without hurry, within 50 ms.

        Returns at once; the topic holds no space.
        """
        self._wake(topic)
        self._unsent.add(topic)
        self._to_send.set()
        if hurry:
            self._hurry.set()

    @contextmanager
    def listen(self, topic: str) -> Iterator[Ear]:
        """An ear for a topic, for as long as the context lasts."""
        ear = Ear()
        self._ears[topic].add(ear)
        try:
            yield ear
        finally:
            self._ears[topic].discard(ear)
            if not self._ears[topic]:
                del self._ears[topic]

    def topics(self) -> list[str]:
        """Those that somebody listens to here."""
        return list(self._ears)

    def _wake(self, topic: str) -> None:
        for ear in self._ears.get(topic, ()):
            ear.ring()

    async def _send_forever(self) -> None:
        while True:
            await self._to_send.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(UNHURRIED_SECONDS):
                    await self._hurry.wait()
            self._to_send.clear()
            self._hurry.clear()
            topics, self._unsent = self._unsent, set()
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._redis.publish(CHANNEL, " ".join((self._name, *topics)))
            except (RedisError, OSError, TimeoutError) as error:
                self._say_away(error)  # the others look by themselves
                await asyncio.sleep(AWAY_SECONDS)
            else:
                await asyncio.sleep(GATHER_SECONDS)

    async def _receive_forever(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(CHANNEL)
                    self._say_back()
                    while True:
                        self._hear(await pubsub.get_message(timeout=None))
            except (RedisError, OSError) as error:
                self._say_away(error)
                await asyncio.sleep(AWAY_SECONDS)

    def _hear(self, message: dict[str, Any] | None) -> None:
        if message is None:
            return
        sender, *topics = message["data"].decode().split(" ")
        if sender != self._name:
            for topic in topics:
                self._wake(topic)

    def _say_away(self, error: Exception) -> None:
        if not self._away:
            log.warning("bell_away", error=type(error).__name__)
        self._away = True

    def _say_back(self) -> None:
        if self._away:
            log.info("bell_back")
        self._away = False
        for topic in self.topics():
            self._wake(topic)


class TopicBell:
    """One topic of the bell; `hurry` as in RedisBell.ring."""

    def __init__(self, bell: RedisBell, topic: str, *, hurry: bool = True) -> None:
        self._bell = bell
        self._topic = topic
        self._hurry = hurry

    def ring(self) -> None:
        """Wakes everybody who listens to it."""
        self._bell.ring(self._topic, hurry=self._hurry)

    def listen(self) -> Any:
        """An ear for it."""
        return self._bell.listen(self._topic)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
