"""What clients and long-lived processes must not feel: restarts, and hundreds of streams that are given up."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import psutil
import pytest
from agentmesh.execution.v1 import execution_service_pb2 as pb

from deploy.local.stack import Stack
from tests.chaos.calls import CANCELLED, OK, Attempt, Call, Ledger, attempt, insist, new_request_id
from tests.chaos.doors import AGENT, GrpcDoor, RestDoor, grpc_door
from tests.chaos.quiet import provider_busy, set_pace, settled, well
from tests.chaos.reconcile import reconcile
from tests.conftest import ReportFigures

STREAMS = int(os.environ.get("CHAOS_STREAMS", "300"))
AT_ONCE = 20
RECONNECTED_SECONDS = 30.0
GROWTH_MIB = 12.0 + STREAMS * 2 / 1024
"""An allocator's mood, and two KiB a stream: less than a stream that is kept needs for its request and its frames alone."""


@pytest.fixture
async def native(stack: Stack) -> AsyncIterator[GrpcDoor]:
    """A client of the orchestrator with one channel, as gRPC makes it by default."""
    async with grpc_door(stack, "orchestrator", wait_for_ready=True) as door:
        yield door


async def test_a_native_client_reconnects_by_itself(stack: Stack, native: GrpcDoor, ledger: Ledger) -> None:
    """Channels that were open before the orchestrator was killed carry the next calls once the supervisor has started another."""
    async with grpc_door(stack, "gateway") as through_gateway:
        doors = (native, through_gateway)
        calls = [Call(f"{when} the kill, by {door.name}") for when in ("Before", "After") for door in doors]
        ledger.extend(calls)
        for call, door in zip(calls[:2], doors, strict=True):
            assert (await attempt(call, door)).outcome == OK
        stack.process("orchestrator").kill()
        for call, door in zip(calls[2:], doors, strict=True):
            await insist(call, [door], RECONNECTED_SECONDS)
            assert call.outcome == OK
    await reconcile(stack.database_url, stack.simulator_log, ledger)


@pytest.mark.parametrize("process", ["orchestrator", "agents-0"])
async def test_an_orderly_restart_cuts_no_call(stack: Stack, rest: RestDoor, native: GrpcDoor, ledger: Ledger, process: str) -> None:
    """SIGTERM: calls under way, whole and streamed, are answered before the process ends."""
    await well(stack)
    await set_pace(stack, delay_ms=2_000)
    calls = [Call(f"Under way while {process} restarts: {n}", streamed=n % 2 == 0) for n in range(8)]
    ledger.extend(calls)
    under_way = [asyncio.create_task(attempt(call, (rest, native)[n // 4])) for n, call in enumerate(calls)]
    await provider_busy(stack, len(calls))
    victim = stack.process(process).pid
    await stack.process(process).restart(env={"DRAIN_NOTICE_SECONDS": "0.5"})
    assert stack.process(process).pid != victim
    assert [made.outcome for made in await asyncio.gather(*under_way)] == [OK] * len(calls)
    await set_pace(stack)
    await well(stack)
    await reconcile(stack.database_url, stack.simulator_log, ledger)


@pytest.mark.timeout(60 + STREAMS / 10)
async def test_streams_given_up_in_the_middle_leave_nothing_behind(
    stack: Stack, native: GrpcDoor, ledger: Ledger, report_figures: ReportFigures
) -> None:
    """Cancelled streams leak in some gRPC versions (grpc/grpc#43360): the memory of the processes that served them stays as it was."""
    await set_pace(stack, trickle_ms=100)
    processes = ("orchestrator", "agents-0")
    give_up = giving_up(native, ledger)
    await many(give_up, 100)  # what is made once: connections, caches, arenas
    await settled(stack)
    before = {name: resident(stack, name) for name in processes}
    await many(give_up, STREAMS)
    await settled(stack)
    growth = {name: resident(stack, name) - before[name] for name in processes}
    report_figures(f"{STREAMS} streams given up; growth in MiB: " + ", ".join(f"{name} {grown:+.1f}" for name, grown in growth.items()))
    books = await reconcile(stack.database_url, stack.simulator_log, ledger)
    assert books.states["cancelled"] == STREAMS + 100
    assert max(growth.values()) < GROWTH_MIB, growth
    await set_pace(stack)


def giving_up(door: GrpcDoor, ledger: Ledger) -> Callable[[], Awaitable[None]]:
    """A client that leaves in the middle of its streamed answer."""

    async def give_up() -> None:
        call = Call(f"Stream {len(ledger)}, of which nobody will hear the end", streamed=True)
        ledger.append(call)
        request_id = new_request_id()
        call.attempts.append(Attempt(request_id, door.name, CANCELLED))
        request = pb.StreamAgentRequest(agent_id=AGENT, input=call.input)
        stream = door.stub.StreamAgent(request, metadata=(("x-request-id", request_id),), wait_for_ready=True)
        async for message in stream:
            if message.WhichOneof("event") == "delta":
                break
        stream.cancel()

    return give_up


async def many(action: Callable[[], Awaitable[None]], times: int) -> None:
    """Does it so often, a few at once."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with places:
            await action()

    await asyncio.gather(*(one() for _ in range(times)))


def resident(stack: Stack, name: str) -> float:
    """The resident memory of one process, in MiB."""
    return psutil.Process(stack.process(name).pid).memory_info().rss / 2**20
