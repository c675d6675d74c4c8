"""Servers: each port belongs to one server, reflection and health are open, and a drain loses no call."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import cast

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb
from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2

from mesh.errors import ValidationFailed
from mesh.rpc.channel import ChannelPool
from mesh.rpc.serving import server as server_module
from mesh.rpc.serving.server import ConnectionLimits, Health, build_server, drain, listen
from mesh.tasks import BackgroundTasks
from mesh.waiting import set_in_turn
from tests.rpc.mesh.conftest import REQUEST, SERVICE, STREAM_REQUEST, Served, delta
from tests.support.raw_http2 import PREFACE, settings

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Gate:
    """Blocks calls inside the service until it is opened."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def execute(self, request: pb.ExecuteRequest) -> pb.ExecuteResponse:
        self.reached.set()
        await self.open.wait()
        return pb.ExecuteResponse(result="late but whole")

    async def stream(self, request: pb.StreamExecuteRequest) -> AsyncIterator[pb.StreamExecuteResponse]:
        yield delta(1)
        self.reached.set()
        await self.open.wait()
        yield delta(2)


async def test_a_second_server_on_the_port_fails_instead_of_stealing_calls(served: Served) -> None:
    with pytest.raises(RuntimeError):
        build_server(()).add_insecure_port(f"127.0.0.1:{served.port}")


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_the_service_health_and_itself(served: Served, version: str) -> None:
    names = {service.name for service in (await _reflected(served, version, list_services="")).list_services_response.service}
    assert names == {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@pytest.mark.parametrize("symbol", [SERVICE, "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1.ServerReflectionRequest"])
async def test_reflection_describes_a_service_and_itself(served: Served, version: str, symbol: str) -> None:
    answer = await _reflected(served, version, file_containing_symbol=symbol)
    files = [FileDescriptorProto.FromString(data) for data in answer.file_descriptor_response.file_descriptor_proto]
    names = [(file.package, name) for file in files for name in ([s.name for s in file.service] + [m.name for m in file.message_type])]
    declared = {f"{package}.{name}" for package, name in names}
    assert symbol in declared
    assert not [name for name in declared if ".v1alpha." in name]


async def _reflected(served: Served, version: str, **question: str) -> reflection_pb2.ServerReflectionResponse:
    rpc = served.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    (answer,) = [answer async for answer in rpc(iter([reflection_pb2.ServerReflectionRequest(**question)]))]
    return answer


async def test_a_request_over_the_size_limit_is_refused_by_grpc(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await served.raw()(b"\x12" + b"x" * (17 * 1024 * 1024))
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await served.stub.Execute(REQUEST)).result == "fine"


@asynccontextmanager
async def listening(limits: ConnectionLimits) -> AsyncIterator[int]:
    """A server that serves only health; its port."""
    server = build_server((), connections=limits)
    await Health(server).set("", serving=True)
    port = listen(server, "127.0.0.1", 0, None)
    await server.start()
    yield port
    await server.stop(None)


async def ends(port: int, sent: bytes) -> None:
    """Connects, sends some bytes and waits until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(OSError):
        writer.write(sent)
        while await reader.read(1000):
            pass
    writer.close()


@pytest.mark.parametrize(
    "sent", [b"", PREFACE[:10], PREFACE, PREFACE + settings()], ids=["nothing", "half a preface", "a preface", "a preface and settings"]
)
async def test_connections_without_a_call_are_closed(sent: bytes) -> None:
    async with listening(ConnectionLimits(handshake_seconds=0.3, idle_seconds=0.3)) as port, asyncio.timeout(15):
        await ends(port, sent)


async def test_connections_over_the_limit_are_closed_and_calls_go_on() -> None:
    async with (
        listening(ConnectionLimits(most=5)) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        asyncio.timeout(9),  # before the handshake times out
    ):
        health = HealthStub(channel)
        await health.Check(HealthCheckRequest())
        idle = [asyncio.create_task(ends(port, b"")) for _ in range(10)]
        closed, held = await asyncio.wait(idle, timeout=3)
        assert (len(closed), len(held)) == (6, 4)
        assert (await health.Check(HealthCheckRequest())).status == SERVING
        for one in held:
            one.cancel()


async def test_health_distinguishes_services(served: Served) -> None:
    await served.health.set("one", serving=True)
    await served.health.set("two", serving=False)
    health = HealthStub(served.channel)

    async def state(service: str) -> int:
        return int((await health.Check(HealthCheckRequest(service=service))).status)

    assert [await state(service) for service in ("", "one", "two")] == [SERVING, SERVING, NOT_SERVING]
    await served.health.forget("one")
    assert await state("one") == HealthCheckResponse.SERVICE_UNKNOWN
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await state("three")
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watcher_receives_every_change(served: Served) -> None:
    watch = HealthStub(served.channel).Watch(HealthCheckRequest(service="one"))
    assert (await watch.read()).status == HealthCheckResponse.SERVICE_UNKNOWN
    await served.health.set("one", serving=True)
    assert (await watch.read()).status == SERVING
    await served.health.set("one", serving=False)
    assert (await watch.read()).status == NOT_SERVING
    watch.cancel()


async def test_a_watcher_is_woken_only_when_the_state_of_its_service_changes(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    woken = 0

    async def count(events: Iterable[asyncio.Event]) -> None:
        nonlocal woken
        woken += len([*events])
        await set_in_turn(events)

    monkeypatch.setattr(server_module, "set_in_turn", count)
    watches = [HealthStub(served.channel).Watch(HealthCheckRequest(service="one")) for _ in range(20)]
    for watch in watches:
        await watch.read()
    await served.health.set("two", serving=True)
    assert woken == 0
    for _ in range(3):
        await served.health.set("one", serving=True)
    assert woken == len(watches)
    for watch in watches:
        assert (await watch.read()).status == SERVING


async def test_a_drain_reports_not_serving_first_and_then_finishes_calls(served: Served) -> None:
    gate = Gate()
    served.service.execute, served.service.stream = gate.execute, gate.stream
    watch = HealthStub(served.channel).Watch(HealthCheckRequest(service=""))
    assert (await watch.read()).status == SERVING
    whole = asyncio.ensure_future(served.stub.Execute(REQUEST))
    stream = served.stub.StreamExecute(STREAM_REQUEST)
    assert sequence_of(await stream.read()) == 1
    await gate.reached.wait()
    draining = asyncio.create_task(drain([served.server], [served.health], notice_seconds=0.1, grace_seconds=30))
    assert (await watch.read()).status == NOT_SERVING
    served.service.execute = lambda _: answered_in_time()
    assert (await served.stub.Execute(REQUEST)).result == "in time"  # a client that has not noticed the change is still served
    assert await watch.read() is grpc.aio.EOF  # a watcher does not delay the drain
    assert not draining.done()
    gate.open.set()
    assert (await whole).result == "late but whole"
    assert sequence_of(await stream.read()) == 2
    assert await stream.read() is grpc.aio.EOF
    async with asyncio.timeout(2):
        await draining


def sequence_of(message: object) -> int:
    assert isinstance(message, pb.StreamExecuteResponse)
    return message.sequence


async def answered_in_time() -> pb.ExecuteResponse:
    return pb.ExecuteResponse(result="in time")


async def test_a_call_that_fails_during_a_drain_does_not_abort_the_others(served: Served) -> None:
    """grpc/grpc#37239."""
    gate, failing = Gate(), Gate()

    async def fail(request: pb.ExecuteRequest) -> pb.ExecuteResponse:
        await failing.execute(request)
        raise ValidationFailed("x")

    served.service.execute = gate.execute
    whole = asyncio.ensure_future(served.stub.Execute(REQUEST))
    await gate.reached.wait()
    served.service.execute = fail
    refused = asyncio.ensure_future(served.refused())
    await failing.reached.wait()
    draining = asyncio.create_task(drain([served.server], [served.health], notice_seconds=0, grace_seconds=30))
    await asyncio.sleep(0)
    failing.open.set()
    assert (await refused).code() is grpc.StatusCode.INVALID_ARGUMENT
    gate.open.set()
    assert (await whole).result == "late but whole"
    async with asyncio.timeout(2):
        await draining


async def test_a_busy_loop_catches_up_before_the_server_stops() -> None:
    """gRPC cancels the calls that have arrived and that the loop has not yet accepted when a server stops."""
    order: list[str] = []

    class Stopping:
        async def stop(self, grace: float) -> None:
            order.append("stopped")

    async def be_busy() -> None:
        for _ in range(10):
            time.sleep(0.05)  # noqa: ASYNC251 - it keeps the loop busy
            await asyncio.sleep(0)
        order.append("caught up")

    busy = asyncio.create_task(be_busy())
    await asyncio.sleep(0)
    await drain([cast(grpc.aio.Server, Stopping())], [], notice_seconds=0, grace_seconds=1)
    await busy
    assert order == ["caught up", "stopped"]


async def test_a_call_that_exceeds_the_grace_period_is_aborted(served: Served) -> None:
    gate = Gate()
    served.service.execute = gate.execute
    call = asyncio.ensure_future(served.refused())
    await gate.reached.wait()
    async with asyncio.timeout(5):
        await drain([served.server], [served.health], notice_seconds=0, grace_seconds=0.05)
    assert (await call).code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_a_pool_has_one_channel_per_target_and_closes_them_all(served: Served) -> None:
    pool = ChannelPool(BackgroundTasks())
    first, second = pool.get(f"127.0.0.1:{served.port}"), pool.get("127.0.0.1:1")
    assert pool.get(f"127.0.0.1:{served.port}") is first
    assert first is not second
    assert (await AgentServiceStub(first).Execute(REQUEST)).result == "fine"
    await pool.close()
    with pytest.raises(grpc.aio.UsageError):
        await AgentServiceStub(first).Execute(REQUEST)
    assert pool.get(f"127.0.0.1:{served.port}") is not first
    await pool.close()
