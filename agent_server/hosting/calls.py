"""The calls under way on this host, so that Cancel finds them; and what a call used when it fails."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from agent_server.hosting.pacing import HEARTBEAT_SECONDS, PieceQueue
from agent_server.model.errors import AgentExecutionFailed
from agent_server.turn.turn import Result, Turn
from mesh.errors import CallCancelled, MeshError

log = structlog.get_logger()


class CallsUnderWay:
    """Runs turns as tasks that can be ended by execution id.

    Errors leave with the usage so far in their details. A caller that goes away ends the provider call at once.
    """

    def __init__(self, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._heartbeat = heartbeat_seconds
        self._tasks: dict[str, tuple[asyncio.Task[Any], str]] = {}

    def cancel(self, execution_id: str) -> bool:
        """Ends the call of this execution, which then fails with CANCELLED; False when it is not under way here."""
        task, _ = self._tasks.get(execution_id, (None, ""))
        return task is not None and task.cancel()

    def agent_of(self, execution_id: str) -> str:
        """The id of the agent that works on this execution; empty when none does here."""
        return self._tasks.get(execution_id, (None, ""))[1]

    async def whole(self, execution_id: str, turn: Turn, timeout: float) -> Result:
        """The turn's result within `timeout` seconds."""
        task = asyncio.create_task(turn.whole(timeout))
        self._remember(execution_id, task, turn)
        with _accounted(turn):
            return await task

    async def frames(self, execution_id: str, turn: Turn, timeout: float) -> AsyncIterator[str | Result | None]:
        """The turn's text in frames and its result, within `timeout` seconds; None after 15 s of silence."""
        queue: PieceQueue[Result] = PieceQueue()
        task = asyncio.create_task(_pump(turn, timeout, queue))
        task.add_done_callback(lambda _: queue.end())  # not in the task: one that is cancelled before its first step runs no line
        self._remember(execution_id, task, turn)
        try:
            with _accounted(turn):
                async for frame in queue.frames(self._heartbeat):
                    yield frame
                await task
        finally:
            task.cancel()

    def _remember(self, execution_id: str, task: asyncio.Task[Any], turn: Turn) -> None:
        if execution_id:
            self._tasks[execution_id] = task, turn.agent_id
            task.add_done_callback(lambda _: self._forget(execution_id, task))

    def _forget(self, execution_id: str, task: asyncio.Task[Any]) -> None:
        if self._tasks.get(execution_id, (None, ""))[0] is task:  # and not a later call's that was given the same id
            del self._tasks[execution_id]


async def _pump(turn: Turn, timeout: float, queue: PieceQueue[Result]) -> None:
    async for item in turn.pieces(timeout):
        queue.put(item)


@contextmanager
def _accounted(turn: Turn) -> Iterator[None]:
    """Gives an error the usage so far, says CANCELLED for a call that Cancel ended, and counts how the turn ended."""
    status = "cancelled"
    try:
        yield
        status = "success"
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # the caller went away: there is nobody to tell
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
