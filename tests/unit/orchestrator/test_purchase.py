"""One purchase with a scripted recorder and scripted agents; other tests run the real ones."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from catalogue.pricing.prices import PriceBook
from mesh.errors import CallCancelled, ServiceUnavailable
from mesh.rpc.status import retryable
from mesh.usage import TokenUsage
from orchestrator.executions.books import Books, new_id
from orchestrator.executions.errors import AgentLost, AgentUnavailable
from orchestrator.executions.model import AgentAnswer, Intent, Settlement, State, StepRef
from orchestrator.executions.ports import AgentCall
from orchestrator.executions.purchase import Purchases
from orchestrator.executions.stop import StopSignal
from orchestrator.idempotency.model import OriginalRequest
from tests.unit.orchestrator.making import AGENT_ID, MODEL, intent

ANSWER = AgentAnswer("Write better.", 1.0, {}, TokenUsage(MODEL, 10, 5))
CALL = AgentCall(AGENT_ID, 8201, 7, new_id(), "How do we rank?", None, 10.0)


@dataclass
class Scripted:
    """Recorder and agents in one; `asked` is set once the agent has been called."""

    on_record: Callable[[], Awaitable[OriginalRequest | None]] | None = None
    on_execute: Callable[[StopSignal], Awaitable[AgentAnswer]] | None = None
    pieces: tuple[Any, ...] = ()
    settles: bool = True
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    settled: list[Settlement] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)

    async def record(self, intent: Intent) -> OriginalRequest | None:
        return await self.on_record() if self.on_record else None

    async def settle(self, settlement: Settlement) -> bool:
        self.settled.append(settlement)
        return self.settles

    async def settle_again(self, step: StepRef) -> bool:
        return self.settles

    def step_committed(self, step: StepRef) -> None:
        pass

    async def execute(self, call: AgentCall, stop: StopSignal) -> AgentAnswer:
        self.asked.set()
        return await self.on_execute(stop) if self.on_execute else ANSWER

    async def stream(self, call: AgentCall, stop: StopSignal) -> AsyncIterator[str | AgentAnswer | None]:
        self.asked.set()
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    @property
    def only(self) -> Settlement:
        (settlement,) = self.settled
        return settlement


def purchases(script: Scripted) -> Purchases:
    return Purchases(script, script, Books(PriceBook.load(), retryable))


async def until_stopped(stop: StopSignal) -> AgentAnswer:
    stopped = asyncio.Event()
    with stop.calling(stopped.set):
        await stopped.wait()
    raise CallCancelled("the caller disconnected")


async def read_until_failure(script: Scripted) -> Exception:
    """Read a stream that fails into `script.sent`, and return the failure."""
    try:
        async for item in purchases(script).pieces(intent(), CALL):
            script.sent.append(item)
    except Exception as failure:  # noqa: BLE001 - the test looks at it
        return failure
    raise AssertionError("the stream did not fail")


async def refuse() -> None:
    raise ServiceUnavailable("the database cannot be reached")


async def test_a_call_is_settled_before_its_answer_is_returned() -> None:
    script = Scripted()
    outcome = await purchases(script).whole(intent(), CALL)
    assert outcome is script.only
    assert script.only.state is State.COMPLETED


async def test_no_agent_is_called_if_the_intent_cannot_be_recorded() -> None:
    script = Scripted(on_record=refuse)
    with pytest.raises(ServiceUnavailable):
        await purchases(script).whole(intent(), CALL)
    assert not script.asked.is_set()
    assert script.settled == []


async def test_a_duplicate_is_returned_and_not_bought() -> None:
    earlier = OriginalRequest(new_id(), b"body")

    async def recorded() -> OriginalRequest:
        return earlier

    script = Scripted(on_record=recorded)
    assert await purchases(script).whole(intent(), CALL) is earlier
    assert not script.asked.is_set()


async def test_a_caller_who_disconnects_while_the_intent_is_written_buys_nothing() -> None:
    writing, written = asyncio.Event(), asyncio.Event()

    async def wait_for_write() -> None:
        writing.set()
        await written.wait()

    script = Scripted(on_record=wait_for_write)
    purchasing = purchases(script)
    caller = asyncio.create_task(purchasing.whole(intent(), CALL))
    await writing.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    written.set()
    await purchasing.drain()
    assert not script.asked.is_set()
    assert (script.only.state, script.only.bill) == (State.CANCELLED, None)


async def test_a_caller_who_disconnects_during_the_call_stops_the_agent_and_the_call_is_settled() -> None:
    script = Scripted(on_execute=until_stopped)
    purchasing = purchases(script)
    caller = asyncio.create_task(purchasing.whole(intent(), CALL))
    await script.asked.wait()
    caller.cancel()
    with suppress(asyncio.CancelledError):
        await caller
    await purchasing.drain()
    assert script.only.state is State.CANCELLED


async def test_an_answer_that_cannot_be_settled_is_not_returned() -> None:
    bought = intent()
    with pytest.raises(AgentLost) as lost:
        await purchases(Scripted(settles=False)).whole(bought, CALL)
    assert lost.value.details["execution_id"] == str(bought.execution_id)


async def test_an_unexpected_failure_is_settled_as_unknown_and_its_text_is_not_returned() -> None:
    async def break_down(_: StopSignal) -> AgentAnswer:
        raise LookupError("an internal secret")

    script = Scripted(on_execute=break_down)
    with pytest.raises(AgentLost) as lost:
        await purchases(script).whole(intent(), CALL)
    assert script.only.state is State.OUTCOME_UNKNOWN
    assert script.only.failure is not None
    assert "secret" not in lost.value.message + script.only.failure.message


async def test_a_stream_yields_the_intent_then_the_pieces_then_the_settlement() -> None:
    script, bought = Scripted(pieces=("Write ", None, "better.", ANSWER)), intent()
    sent = [item async for item in purchases(script).pieces(bought, CALL)]
    assert sent == [bought, "Write ", None, "better.", script.only]


async def test_a_stream_that_fails_before_its_first_piece_yields_nothing() -> None:
    script = Scripted(pieces=(AgentUnavailable("not there"),))
    assert isinstance(await read_until_failure(script), AgentUnavailable)
    assert script.sent == []
    assert script.only.state is State.FAILED


async def test_a_stream_that_fails_midway_is_settled_with_the_text_sent_so_far() -> None:
    script = Scripted(pieces=("Write ", "bet", AgentLost("lost")))
    assert isinstance(await read_until_failure(script), AgentLost)
    assert script.sent[1:] == ["Write ", "bet"]
    assert (script.only.state, script.only.result) == (State.OUTCOME_UNKNOWN, "Write bet")


async def test_a_stream_that_ends_without_an_answer_is_lost() -> None:
    script = Scripted(pieces=("Write ",))
    with pytest.raises(AgentLost):
        _ = [item async for item in purchases(script).pieces(intent(), CALL)]
    assert script.only.state is State.OUTCOME_UNKNOWN


async def test_draining_waits_for_purchases_in_progress() -> None:
    answer = asyncio.Event()

    async def later(_: StopSignal) -> AgentAnswer:
        await answer.wait()
        return ANSWER

    script = Scripted(on_execute=later)
    purchasing = purchases(script)
    caller = asyncio.create_task(purchasing.whole(intent(), CALL))
    await script.asked.wait()
    draining = asyncio.create_task(purchasing.drain())
    await asyncio.wait([draining], timeout=0.05)
    assert not draining.done()
    answer.set()
    await draining
    assert script.only.state is State.COMPLETED
    await caller


async def test_a_listener_gets_the_text_as_it_grows_and_the_caller_the_whole_answer() -> None:
    script, heard, bought = Scripted(pieces=("Write ", None, "better.", ANSWER)), [], intent()
    outcome = await purchases(script).whole(bought, CALL, on_text=lambda execution_id, piece: heard.append((execution_id, piece)))
    assert outcome == script.only
    assert (script.only.state, script.only.result) == (State.COMPLETED, "Write better.")
    assert heard == [(bought.execution_id, piece) for piece in ("", "Write ", "better.")]


async def test_the_text_before_a_failure_is_recorded_for_a_listener_too() -> None:
    script = Scripted(pieces=("Write ", AgentLost("gone", agent_id=AGENT_ID)))
    with pytest.raises(AgentLost):
        await purchases(script).whole(intent(), CALL, on_text=lambda execution_id, piece: None)
    assert (script.only.state, script.only.result) == (State.OUTCOME_UNKNOWN, "Write ")
