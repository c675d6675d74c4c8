"""A purchase: intent, call, settlement. Every call that begins is settled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import structlog
from prometheus_client import Counter

from mesh.clock import SYSTEM_CLOCK
from mesh.errors import CallCancelled, MeshError
from mesh.tasks import awaited
from orchestrator.executions.books import Books
from orchestrator.executions.errors import AgentLost
from orchestrator.executions.failpoints import AFTER_ANSWER
from orchestrator.executions.model import AgentAnswer, Intent, Settlement, StepRef
from orchestrator.executions.ports import AgentCall, Agents, OnText, Recorder
from orchestrator.executions.stop import StopSignal
from orchestrator.idempotency.model import OriginalRequest

log = structlog.get_logger()

UNSTORABLE = Counter("settlements_refused_total", "Outcomes that the database refused to store; the calls are charged at their worst case")
_LOGGED_CHARACTERS = 300
"""How much of a database error is logged. The error may quote the answer."""
Ask = Callable[[AgentCall, StopSignal], Awaitable[AgentAnswer]]
PassOn = Callable[[str | None], None]


class _End:
    """Marks the end of the queue."""


class Purchases:
    """Runs each purchase as a separate task. A caller that leaves stops the call, and the purchase is still settled."""

    def __init__(self, recorder: Recorder, agents: Agents, books: Books) -> None:
        self._recorder = recorder
        self._agents = agents
        self._books = books
        self._in_progress: set[asyncio.Task[Any]] = set()

    async def whole(
        self, intent: Intent, call: AgentCall, stop: StopSignal | None = None, on_text: OnText | None = None
    ) -> Settlement | OriginalRequest:
        """The settled execution, or the request that holds its idempotency key. Raises the error with which the call was settled.

        A caller that is cancelled returns at once. A caller that sets `stop` waits, and learns how the call ended. With `on_text`, the
        answer is streamed to it.
        """
        stop = stop or StopSignal()
        task = self._detach(self._buy(intent, call, stop, on_text))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            stop.set()
            raise

    async def pieces(self, intent: Intent, call: AgentCall) -> AsyncIterator[Intent | str | Settlement | OriginalRequest | None]:
        """Yields the recorded intent, the answer's text in pieces, then the settlement; None is a heartbeat.

        Yields only the original request if another one holds the idempotency key. Raises the error with which the call was settled.
        """
        stop = StopSignal()
        queue: asyncio.Queue[Any] = asyncio.Queue()
        task = self._detach(self._buy_in_pieces(intent, call, stop, queue))
        try:
            while not isinstance(item := await queue.get(), _End):
                yield item
            await asyncio.shield(task)
        finally:
            stop.set()

    async def settle_again(self, step: StepRef) -> bool:
        """Submits a step's settlement again after a crash of the database may have lost it; see Recorder."""
        return await self._recorder.settle_again(step)

    def step_committed(self, step: StepRef) -> None:
        """Reports that a step's settlement can no longer be lost, or is no longer needed; see Recorder."""
        self._recorder.step_committed(step)

    async def drain(self) -> None:
        """Waits until every purchase in progress is settled."""
        while self._in_progress:
            await asyncio.wait(self._in_progress)

    async def _buy(self, intent: Intent, call: AgentCall, stop: StopSignal, on_text: OnText | None) -> Settlement | OriginalRequest:
        original = await self._recorder.record(intent)
        if original is not None or on_text is None:
            return original or await self._call(intent, call, stop, self._agents.execute, [])
        sent: list[str] = []
        on_text(intent.execution_id, "")

        def pass_on(piece: str | None) -> None:
            if piece:
                on_text(intent.execution_id, piece)

        async def ask(call: AgentCall, stop: StopSignal) -> AgentAnswer:
            return await self._streamed(call, stop, sent, pass_on)

        return await self._call(intent, call, stop, ask, sent)

    async def _buy_in_pieces(self, intent: Intent, call: AgentCall, stop: StopSignal, queue: asyncio.Queue[Any]) -> None:
        sent: list[str] = []

        async def relay(call: AgentCall, stop: StopSignal) -> AgentAnswer:
            begun = False

            def begin() -> None:  # not earlier: a failure before the first piece is returned as a plain error, not inside a stream
                nonlocal begun
                if not begun:
                    queue.put_nowait(intent)
                    begun = True

            def pass_on(piece: str | None) -> None:
                begin()
                queue.put_nowait(piece)

            answer = await self._streamed(call, stop, sent, pass_on)
            begin()
            return answer

        try:
            original = await self._recorder.record(intent)
            queue.put_nowait(original or await self._call(intent, call, stop, relay, sent))
        finally:
            queue.put_nowait(_End())

    async def _streamed(self, call: AgentCall, stop: StopSignal, sent: list[str], pass_on: PassOn) -> AgentAnswer:
        """The answer of a streamed call. Adds its pieces to `sent` and passes on the pieces and heartbeats."""
        async for item in self._agents.stream(call, stop):
            if isinstance(item, AgentAnswer):
                return item
            if item is not None:
                sent.append(item)
            pass_on(item)
        raise AgentLost("the agent's stream ended without an answer", agent_id=call.agent_id)

    async def _call(self, intent: Intent, call: AgentCall, stop: StopSignal, ask: Ask, sent: list[str]) -> Settlement:
        """Calls the agent and settles the execution, whatever the outcome. `sent` collects the text already sent to the caller."""
        if stop.is_set:
            cancelled = CallCancelled("the caller cancelled before the agent was called")
            await self._settle(self._books.never_begun(intent, cancelled))
            raise cancelled
        began = SYSTEM_CLOCK.monotonic()
        try:
            answer = await ask(call, stop)
            AFTER_ANSWER.hit()
            settlement = self._books.completed(intent, answer)
        except Exception as error:
            known = _known(error, call)
            await self._settle(self._books.failed(intent, known, "".join(sent), SYSTEM_CLOCK.monotonic() - began))
            raise known from error
        await self._settle(settlement)
        return settlement

    async def _settle(self, settlement: Settlement) -> None:
        intent = settlement.intent
        agent_id, execution_id = intent.agent_id, str(intent.execution_id)
        try:
            settled = await self._recorder.settle(settlement)
        except Exception as error:
            UNSTORABLE.inc()
            log.error(
                "settlement_refused",
                agent_id=agent_id,
                execution_id=execution_id,
                error=type(error).__name__,
                why=str(error)[:_LOGGED_CHARACTERS],
            )
            await self._recorder.settle(self._books.unstorable(intent))
            message = (
                "the outcome of the call could not be recorded, so its worst-case cost is charged; quote the request id when you report it"
            )
            raise AgentLost(message, retryable=False, agent_id=agent_id, execution_id=execution_id) from error
        if not settled:
            message = "the outcome of the call could not be recorded in time and is unknown; read the execution before you call again"
            raise AgentLost(message, agent_id=agent_id, execution_id=execution_id)

    def _detach(self, purchase: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = awaited(purchase)
        self._in_progress.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: "asyncio.Task[Any]") -> None:
        self._in_progress.discard(task)
        if not task.cancelled():
            task.exception()  # asyncio would log an exception that is never retrieved, and the caller may have disconnected


def _known(error: Exception, call: AgentCall) -> MeshError:
    if isinstance(error, MeshError):
        return error
    log.error("call_failed", agent_id=call.agent_id, exc_info=error)
    return AgentLost("the call failed inside the platform; quote the request id when you report it", agent_id=call.agent_id)
