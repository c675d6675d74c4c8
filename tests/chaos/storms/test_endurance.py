"""What clients and long-lived processes must survive: restarts, and hundreds of abandoned streams."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import psutil
import pytest
from agentmesh.execution.v1 import execution_service_pb2 as pb

from deploy.local.stack import Stack
from tests.chaos.calls import CANCELLED, OK, Attempt, Call, Ledger, attempt, insist, new_request_id
from tests.chaos.clients import AGENT, GrpcClient, RestClient, grpc_client
from tests.chaos.reconcile import reconcile
from tests.chaos.recovery import provider_busy, set_pace, settled, well
from tests.conftest import ReportFigures

STREAMS = int(os.environ.get("CHAOS_STREAMS", "300"))
WARM_UP = max(100, STREAMS // 2)
"""Before these, a process has not yet allocated its connections, caches and arenas: growth by 24 MiB in 3,000 streams, by 29 in 9,000."""
AT_ONCE = 20
RECONNECTED_SECONDS = 30.0
GROWTH_MIB = 12.0 + STREAMS * 2 / 1024
"""The fluctuation of the allocator, and 2 KiB a stream: a leaked stream needs more for its request and its frames alone."""


@pytest.fixture
async def native(stack: Stack) -> AsyncIterator[GrpcClient]:
    """A client of the orchestrator with one channel that has gRPC's defaults."""
    async with grpc_client(stack, "orchestrator", wait_for_ready=True) as client:
        yield client


async def test_a_native_client_reconnects_on_its_own(stack: Stack, native: GrpcClient, ledger: Ledger) -> None:
    """A channel opened before the orchestrator was killed carries later calls once the supervisor has started another."""
    async with grpc_client(stack, "gateway") as through_gateway:
        clients = (native, through_gateway)
        calls = [Call(f"{when} the kill, by {client.name}") for when in ("Before", "After") for client in clients]
        ledger.extend(calls)
        for call, client in zip(calls[:2], clients, strict=True):
            assert (await attempt(call, client)).outcome == OK
        stack.process("orchestrator").kill()
        for call, client in zip(calls[2:], clients, strict=True):
            await insist(call, [client], RECONNECTED_SECONDS)
            assert call.outcome == OK
    await reconcile(stack.database_url, stack.simulator_log, ledger)


@pytest.mark.parametrize("process", ["orchestrator", "agents-0"])
async def test_an_orderly_restart_aborts_no_call(stack: Stack, rest: RestClient, native: GrpcClient, ledger: Ledger, process: str) -> None:
    """On SIGTERM, unary and streamed calls in progress are answered before the process exits."""
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


@pytest.mark.timeout(60 + STREAMS / 6)
async def test_abandoned_streams_leak_no_memory(stack: Stack, native: GrpcClient, ledger: Ledger, report_figures: ReportFigures) -> None:
    """Cancelled streams leak in some gRPC versions (grpc/grpc#43360); here the memory of the processes that serve them stays constant."""
    await set_pace(stack, trickle_ms=100)
    processes = ("orchestrator", "agents-0")
    abandon = abandon_many(native, ledger)
    await many(abandon, WARM_UP)
    await settled(stack)
    before = {name: resident(stack, name) for name in processes}
    await many(abandon, STREAMS)
    await settled(stack)
    growth = {name: resident(stack, name) - before[name] for name in processes}
    report_figures(f"{STREAMS} streams given up; growth in MiB: " + ", ".join(f"{name} {grown:+.1f}" for name, grown in growth.items()))
    books = await reconcile(stack.database_url, stack.simulator_log, ledger)
    assert books.states["cancelled"] == WARM_UP + STREAMS
    assert max(growth.values()) < GROWTH_MIB, growth
    await set_pace(stack)


def abandon_many(client: GrpcClient, ledger: Ledger) -> Callable[[], Awaitable[None]]:
    """A client that disconnects during its streamed answer."""

    async def abandon() -> None:
        call = Call(f"Stream {len(ledger)}, which is abandoned", streamed=True)
        ledger.append(call)
        request_id = new_request_id()
        call.attempts.append(Attempt(request_id, client.name, CANCELLED))
        request = pb.StreamAgentRequest(agent_id=AGENT, input=call.input)
        stream = client.stub.StreamAgent(request, metadata=(("x-request-id", request_id),), wait_for_ready=True)
        async for message in stream:
            if message.WhichOneof("event") == "delta":
                break
        stream.cancel()

    return abandon


async def many(action: Callable[[], Awaitable[None]], times: int) -> None:
    """Run many such clients, a few at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with places:
            await action()

    await asyncio.gather(*(one() for _ in range(times)))


def resident(stack: Stack, name: str) -> float:
    """The resident memory of one process, in MiB."""
    return psutil.Process(stack.process(name).pid).memory_info().rss / 2**20
