"""The tasks of one process. None of them can end unnoticed: each is awaited or supervised.

No other module of the product creates tasks.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from prometheus_client import Counter

log = structlog.get_logger()

FAILURES = Counter("background_task_failures_total", "Background tasks that failed or ended unexpectedly", ["stops_process"])
for _stops in ("yes", "no"):
    FAILURES.labels(_stops)  # exported from the start, so that the first failure is an increase

T = TypeVar("T")
Work = Coroutine[Any, Any, None]


def awaited(work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """Starts a task whose outcome the caller awaits, and so learns how it ended. Use BackgroundTasks for every other task."""
    return asyncio.create_task(work)


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """A background task that ended although nothing had stopped it."""

    name: str
    cause: BaseException | None
    """None: the task returned, or something else cancelled it."""
    urgent: bool


@dataclass(frozen=True, slots=True)
class _Supervision:
    endless: bool
    urgent: bool = False
    vital: bool = True


class BackgroundTasks:
    """Starts and stops the tasks of one process.

    A task that ends before it is stopped is logged with its cause and sets `stopping`, so that the process drains as on SIGTERM and the
    supervisor restarts it. Without the task, the process would keep running and do part of its work no more.
    """

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        """Set by a signal to stop, or by the first failure."""
        self.failure: TaskFailure | None = None
        """The first failure; the process must exit with an error."""
        self._running: dict[asyncio.Task[Any], _Supervision] = {}

    @property
    def urgent(self) -> bool:
        """Whether the process must stop without letting its calls finish: it cannot renew the leases under which they run."""
        return self.failure is not None and self.failure.urgent

    def start(self, name: str, work: Work, *, urgent: bool = False) -> "asyncio.Task[None]":
        """Starts a task that runs until `stop` is called for it, or until `stopping` is set.

        `urgent`: if it ends, the process must stop without draining.
        """
        return self._supervise(name, work, _Supervision(endless=True, urgent=urgent))

    def start_once(self, name: str, work: Coroutine[Any, Any, T], *, vital: bool = True) -> "asyncio.Task[T]":
        """Starts a task that ends by itself. It is a failure if it raises, or if it is cancelled other than by `stop` or `cancel`.

        `vital=False` is for work that a single call causes, as no caller may stop the process: then an exception is only logged.
        """
        return self._supervise(name, work, _Supervision(endless=False, vital=vital))

    def start_on(self, stack: AsyncExitStack, name: str, work: Work, *, urgent: bool = False) -> None:
        """Starts a task that is stopped when `stack` unwinds."""
        stack.push_async_callback(self.stop, self.start(name, work, urgent=urgent))

    async def stop(self, *tasks: "asyncio.Task[Any]") -> None:
        """Cancels tasks and waits until they have ended."""
        self.cancel(*tasks)
        if tasks:
            await asyncio.wait(tasks)

    async def join(self, *tasks: "asyncio.Task[Any]") -> None:
        """Waits for tasks that something else has told to end."""
        for task in tasks:
            self._running.pop(task, None)
        if tasks:
            await asyncio.wait(tasks)

    def cancel(self, *tasks: "asyncio.Task[Any]") -> None:
        """Cancels tasks without waiting for them."""
        for task in tasks:
            self._running.pop(task, None)
            task.cancel()

    def _supervise(self, name: str, work: Coroutine[Any, Any, T], supervision: _Supervision) -> "asyncio.Task[T]":
        task = asyncio.create_task(work, name=name)
        self._running[task] = supervision
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        cause = None if task.cancelled() else task.exception()
        supervision = self._running.pop(task, None)
        returned = cause is None and not task.cancelled()
        if returned and (self.stopping.is_set() or (supervision is not None and not supervision.endless)):
            return
        if supervision is None:
            if cause is not None:
                log.warning("task_failed_while_stopping", task=task.get_name(), exc_info=cause)
            return
        if not supervision.vital:
            if cause is not None:
                FAILURES.labels("no").inc()
                log.error("task_failed", task=task.get_name(), exc_info=cause)
            return
        failure = TaskFailure(task.get_name(), cause, supervision.urgent)
        FAILURES.labels("yes").inc()
        log.error("task_ended_unexpectedly", task=failure.name, urgent=failure.urgent, cancelled=task.cancelled(), exc_info=cause)
        if self.failure is None or (failure.urgent and not self.failure.urgent):
            self.failure = failure
        self.stopping.set()
