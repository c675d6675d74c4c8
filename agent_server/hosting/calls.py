"""The calls in progress on this host: Cancel finds them, and a call that fails reports what it used."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog

from agent_server.hosting.pacing import HEARTBEAT_SECONDS, PieceQueue
from agent_server.model.errors import AgentExecutionFailed
from agent_server.turn.turn import Result, Turn
from mesh.errors import CallCancelled, MeshError
from mesh.tasks import awaited

log = structlog.get_logger()

R = TypeVar("R")
Frame = str | Result | None


class CallsInProgress:
    """Runs turns as tasks that can be ended by execution id.

    An error carries the usage so far in its details. If the caller goes away, the provider call ends at once. The response is built
    here, by the function that the caller passes, so that a failure to build it is accounted for like any other.
    """

    def __init__(self, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._heartbeat = heartbeat_seconds
        self._tasks: dict[str, tuple[asyncio.Task[Any], str]] = {}

    def cancel(self, execution_id: str) -> bool:
        """Ends the call of this execution, which then fails with CANCELLED. False if it is not in progress here."""
        task, _ = self._tasks.get(execution_id, (None, ""))
        return task is not None and task.cancel()

    def agent_of(self, execution_id: str) -> str:
        """The id of the agent that works on this execution; empty if no agent here does."""
        return self._tasks.get(execution_id, (None, ""))[1]

    async def whole(self, execution_id: str, turn: Turn, timeout: float, respond: Callable[[Result], R]) -> R:
        """The response to the turn's result within `timeout` seconds."""
        task = awaited(turn.whole(timeout))
        self._remember(execution_id, task, turn)
        with _accounted(turn):
            return respond(await task)

    async def frames(self, execution_id: str, turn: Turn, timeout: float, respond: Callable[[Frame], R]) -> AsyncIterator[R]:
        """The response to each frame of the turn: text, then the result, within `timeout` seconds; None after 15 s of silence."""
        queue: PieceQueue[Result] = PieceQueue()
        task = awaited(_pump(turn, timeout, queue))
        task.add_done_callback(lambda _: queue.end())  # not in the task: if it is cancelled before its first step, none of its code runs
        self._remember(execution_id, task, turn)
        try:
            with _accounted(turn):
                async for frame in queue.frames(self._heartbeat):
                    yield respond(frame)
                await task
        finally:
            task.cancel()

    def _remember(self, execution_id: str, task: asyncio.Task[Any], turn: Turn) -> None:
        if execution_id:
            self._tasks[execution_id] = task, turn.agent_id
            task.add_done_callback(lambda _: self._forget(execution_id, task))

    def _forget(self, execution_id: str, task: asyncio.Task[Any]) -> None:
        if self._tasks.get(execution_id, (None, ""))[0] is task:  # and not a later call with the same id
            del self._tasks[execution_id]


async def _pump(turn: Turn, timeout: float, queue: PieceQueue[Result]) -> None:
    async for item in turn.pieces(timeout):
        queue.put(item)


@contextmanager
def _accounted(turn: Turn) -> Iterator[None]:
    """Adds the usage so far to an error, raises CallCancelled for a call that Cancel ended, and counts how the turn ended."""
    status = "cancelled"
    try:
        yield
        status = "success"
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # the caller has disconnected and receives no response
            raise
        raise _with_usage(CallCancelled("the execution was cancelled"), turn) from None
    except MeshError as error:
        status = error.reason.lower()
        _with_usage(error, turn)
        raise
    except Exception as error:
        status = AgentExecutionFailed.reason.lower()
        log.exception("turn_failed")
        raise _with_usage(AgentExecutionFailed("the agent failed; quote the request id when you report it"), turn) from error
    finally:
        turn.observe(status)


def _with_usage(error: MeshError, turn: Turn) -> MeshError:
    if turn.meter.usage is not None:
        error.details |= turn.meter.usage.to_details()
    return error
