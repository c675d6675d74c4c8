"""The wakeup between processes: Redis pub/sub. It carries no state; whoever waits for it also looks by himself now and then."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any, Self
from uuid import uuid4

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mesh.tasks import BackgroundTasks

log = structlog.get_logger()

CHANNEL = "agentmesh:notifications"
GATHER_SECONDS = 0.005
"""Notifications that fall together travel in one message."""
UNHURRIED_SECONDS = 0.05
"""How long a notification waits for others when it can. Each message costs every process as much as a log line."""
AWAY_SECONDS = 1.0
SEND_SECONDS = 1.0


class Subscription:
    """What one listener waits with."""

    def __init__(self) -> None:
        self._notified = asyncio.Event()

    def notify(self) -> None:
        """Ends the wait, or the next one."""
        self._notified.set()

    async def wait(self, seconds: float) -> bool:
        """Whether the notifier has notified since the last wait, or does so within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._notified.wait()
        except TimeoutError:
            return False
        self._notified.clear()
        return True


class RedisNotifier:
    """Notifications topics: in this process at once, in the others through Redis. An async context manager.

    While Redis is away only this process hears; when it is back everybody here is woken once, for what may have been missed.
    """

    def __init__(self, redis: Redis, tasks: BackgroundTasks) -> None:
        self._tasks = tasks
        self._redis = redis
        self._name = uuid4().hex
        self._subscriptions: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._unsent: set[str] = set()
        self._to_send = asyncio.Event()
        self._hurry = asyncio.Event()
        self._away = False

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._tasks.start_on(stack, "notifications out", self._send_forever())
            self._tasks.start_on(stack, "notifications in", self._receive_forever())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def notify(self, topic: str, *, hurry: bool = True) -> None:
        """Wakes everybody who listens to a topic: here at once, elsewhere as soon as can be or, without hurry, within 50 ms.

        Returns at once; the topic holds no space.
        """
        self._wake(topic)
        self._unsent.add(topic)
        self._to_send.set()
        if hurry:
            self._hurry.set()

    @contextmanager
    def subscribe(self, topic: str) -> Iterator[Subscription]:
        """A subscription for a topic, for as long as the context lasts."""
        subscription = Subscription()
        self._subscriptions[topic].add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions[topic].discard(subscription)
            if not self._subscriptions[topic]:
                del self._subscriptions[topic]

    def topics(self) -> list[str]:
        """Those that somebody listens to here."""
        return list(self._subscriptions)

    def _wake(self, topic: str) -> None:
        for subscription in self._subscriptions.get(topic, ()):
            subscription.notify()

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
                self._note_disconnected(error)  # the others look by themselves
                await asyncio.sleep(AWAY_SECONDS)
            else:
                await asyncio.sleep(GATHER_SECONDS)

    async def _receive_forever(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(CHANNEL)
                    self._note_reconnected()
                    while True:
                        self._hear(await pubsub.get_message(timeout=None))
            except (RedisError, OSError) as error:
                self._note_disconnected(error)
                await asyncio.sleep(AWAY_SECONDS)

    def _hear(self, message: dict[str, Any] | None) -> None:
        if message is None:
            return
        sender, *topics = message["data"].decode().split(" ")
        if sender != self._name:
            for topic in topics:
                self._wake(topic)

    def _note_disconnected(self, error: Exception) -> None:
        if not self._away:
            log.warning("redis_notifier_disconnected", error=type(error).__name__)
        self._away = True

    def _note_reconnected(self) -> None:
        if self._away:
            log.info("redis_notifier_reconnected")
        self._away = False
        for topic in self.topics():
            self._wake(topic)


class TopicNotifier:
    """One topic of the notifier; `hurry` as in RedisNotifier.notify."""

    def __init__(self, notifier: RedisNotifier, topic: str, *, hurry: bool = True) -> None:
        self._notifier = notifier
        self._topic = topic
        self._hurry = hurry

    def notify(self) -> None:
        """Wakes everybody who listens to it."""
        self._notifier.notify(self._topic, hurry=self._hurry)

    def subscribe(self) -> Any:
        """A subscription for it."""
        return self._notifier.subscribe(self._topic)
