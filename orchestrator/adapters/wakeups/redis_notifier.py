"""Notifications between processes over Redis publish/subscribe. They carry no state and can be lost, so subscribers also poll."""

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
"""Notifications within this time are sent in one message."""
UNHURRIED_SECONDS = 0.05
"""How long a notification without `immediate` waits for others. Each message costs every process about as much as a log line."""
RECONNECT_SECONDS = 1.0
SEND_SECONDS = 1.0


class Subscription:
    def __init__(self) -> None:
        self._notified = asyncio.Event()

    def notify(self) -> None:
        """Ends the current wait, or else the next one."""
        self._notified.set()

    async def wait(self, seconds: float) -> bool:
        """Waits up to `seconds` for a notification. Returns True at once if one arrived since the last call."""
        try:
            async with asyncio.timeout(seconds):
                await self._notified.wait()
        except TimeoutError:
            return False
        self._notified.clear()
        return True


class RedisNotifier:
    """Notifies the subscribers of a topic: in this process at once, in other processes through Redis. An async context manager.

    While Redis is down, only subscribers in this process are notified. After a reconnect, every subscriber here is woken once, because it
    may have missed a notification.
    """

    def __init__(self, redis: Redis, tasks: BackgroundTasks) -> None:
        self._tasks = tasks
        self._redis = redis
        self._name = uuid4().hex
        self._subscriptions: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._unsent: set[str] = set()
        self._to_send = asyncio.Event()
        self._urgent = asyncio.Event()
        self._offline = False

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._tasks.start_on(stack, "notifications out", self._send_forever())
            self._tasks.start_on(stack, "notifications in", self._receive_forever())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def notify(self, topic: str, *, immediate: bool = True) -> None:
        """Wakes every subscriber of a topic: here at once; in other processes at once too or, without `immediate`, within about 50 ms.

        Never blocks. The topic must not contain a space.
        """
        self._wake(topic)
        self._unsent.add(topic)
        self._to_send.set()
        if immediate:
            self._urgent.set()

    @contextmanager
    def subscribe(self, topic: str) -> Iterator[Subscription]:
        """Returns a subscription to a topic that ends with the context."""
        subscription = Subscription()
        self._subscriptions[topic].add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions[topic].discard(subscription)
            if not self._subscriptions[topic]:
                del self._subscriptions[topic]

    def topics(self) -> list[str]:
        """Returns the topics that have a subscriber in this process."""
        return list(self._subscriptions)

    def _wake(self, topic: str) -> None:
        for subscription in self._subscriptions.get(topic, ()):
            subscription.notify()

    async def _send_forever(self) -> None:
        while True:
            await self._to_send.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(UNHURRIED_SECONDS):
                    await self._urgent.wait()
            self._to_send.clear()
            self._urgent.clear()
            topics, self._unsent = self._unsent, set()
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._redis.publish(CHANNEL, " ".join((self._name, *topics)))
            except (RedisError, OSError, TimeoutError) as error:
                self._disconnected(error)  # the other processes also poll
                await asyncio.sleep(RECONNECT_SECONDS)
            else:
                await asyncio.sleep(GATHER_SECONDS)

    async def _receive_forever(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(CHANNEL)
                    self._reconnected()
                    while True:
                        self._receive(await pubsub.get_message(timeout=None))
            except (RedisError, OSError) as error:
                self._disconnected(error)
                await asyncio.sleep(RECONNECT_SECONDS)

    def _receive(self, message: dict[str, Any] | None) -> None:
        if message is None:
            return
        sender, *topics = message["data"].decode().split(" ")
        if sender != self._name:
            for topic in topics:
                self._wake(topic)

    def _disconnected(self, error: Exception) -> None:
        if not self._offline:
            log.warning("redis_notifier_disconnected", error=type(error).__name__)
        self._offline = True

    def _reconnected(self) -> None:
        if self._offline:
            log.info("redis_notifier_reconnected")
        self._offline = False
        for topic in self.topics():
            self._wake(topic)


class TopicNotifier:
    """Notifies and subscribes to one topic. `immediate` is that of RedisNotifier.notify."""

    def __init__(self, notifier: RedisNotifier, topic: str, *, immediate: bool = True) -> None:
        self._notifier = notifier
        self._topic = topic
        self._immediate = immediate

    def notify(self) -> None:
        self._notifier.notify(self._topic, immediate=self._immediate)

    def subscribe(self) -> Any:
        return self._notifier.subscribe(self._topic)
