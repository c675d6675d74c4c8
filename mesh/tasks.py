"""The background tasks of one process, supervised: none of them can end unnoticed."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import structlog

log = structlog.get_logger()

Work = Coroutine[Any, Any, None]


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """A background task that ended although nothing had stopped it."""

    name: str
    cause: BaseException | None
    """None: the task returned, or something else cancelled it."""
    urgent: bool


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
        self._running: dict[asyncio.Task[None], bool] = {}

    @property
    def urgent(self) -> bool:
        """Whether the process must stop without letting its calls finish: it cannot renew the leases under which they run."""
        return self.failure is not None and self.failure.urgent

    def start(self, name: str, work: Work, *, urgent: bool = False) -> "asyncio.Task[None]":
        """Starts a task that runs until `stop` is called for it, or until `stopping` is set.

        `urgent`: if it ends, the process must stop without draining.
        """
        task = asyncio.create_task(work, name=name)
        self._running[task] = urgent
        task.add_done_callback(self._ended)
        return task

    def start_on(self, stack: AsyncExitStack, name: str, work: Work, *, urgent: bool = False) -> None:
        """Starts a task that is stopped when `stack` unwinds."""
        stack.push_async_callback(self.stop, self.start(name, work, urgent=urgent))

    async def stop(self, *tasks: "asyncio.Task[None]") -> None:
        """Cancels tasks and waits until they have ended."""
        self.cancel(*tasks)
        if tasks:
            await asyncio.wait(tasks)

    async def join(self, *tasks: "asyncio.Task[None]") -> None:
        """Waits for tasks that something else has told to end."""
        for task in tasks:
            self._running.pop(task, None)
        if tasks:
            await asyncio.wait(tasks)

    def cancel(self, *tasks: "asyncio.Task[None]") -> None:
        """Cancels tasks without waiting for them."""
        for task in tasks:
            self._running.pop(task, None)
            task.cancel()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        cause = None if task.cancelled() else task.exception()
        urgent = self._running.pop(task, None)
        if self.stopping.is_set() and cause is None and not task.cancelled():
            return  # it returned because the process stops
        if urgent is None:
            if cause is not None:
                log.warning("task_failed_while_stopping", task=task.get_name(), exc_info=cause)
            return
        failure = TaskFailure(task.get_name(), cause, urgent)
        log.error("task_ended_unexpectedly", task=failure.name, urgent=urgent, cancelled=task.cancelled(), exc_info=cause)
        if self.failure is None or (urgent and not self.failure.urgent):
            self.failure = failure
        self.stopping.set()
