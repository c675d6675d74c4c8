"""The limits of open streams: by user, by address and in total."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from agentmesh.event.v1 import event_service_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from mesh.errors import RateLimitExceeded
from mesh.rpc.interceptors.open_streams import OpenStreams, StreamAllowances
from mesh.rpc.peer import CLIENT_KEY, GATEWAY_KEY, Peers
from mesh.rpc.serving.server import Health, add_reflection, build_server
from mesh.rpc.status import error_of
from mesh.security import caller
from mesh.security.caller import Caller
from tests.support.waiting import eventually

SECRET = "a secret of the gateway's"
WATCH = HealthCheckRequest(service="")


@asynccontextmanager
async def served(allowances: StreamAllowances) -> AsyncIterator[grpc.aio.Channel]:
    server = build_server([OpenStreams(Peers([SECRET]), allowances)])
    health = Health(server)
    add_reflection(server, [])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await health.set("", serving=True)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


def from_address(address: str) -> tuple[tuple[str, str], ...]:
    return (CLIENT_KEY, address), (GATEWAY_KEY, SECRET)


async def opened(channel: grpc.aio.Channel, address: str) -> Any:
    watch: Any = HealthStub(channel).Watch(WATCH, metadata=from_address(address))
    await watch.read()
    return watch


async def refused(channel: grpc.aio.Channel, address: str) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await HealthStub(channel).Watch(WATCH, metadata=from_address(address)).read()
    error = error_of(failed.value)
    assert error is not None
    assert (failed.value.code(), error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMIT_EXCEEDED")
    assert error.retry_after_seconds
    assert error.details["allowed"] in error.message
    return error.details["limit"], error.details["allowed"]


async def test_health_watches_of_one_address_are_limited_and_others_are_not_affected() -> None:
    async with served(StreamAllowances(of_address=3)) as channel:
        watches = [await opened(channel, "192.0.2.1") for _ in range(3)]
        assert await refused(channel, "192.0.2.1") == ("streams_of_address", "3 open streams")
        assert (await HealthStub(channel).Check(WATCH, metadata=from_address("192.0.2.1"))).status  # probes are not counted
        await opened(channel, "192.0.2.2")
        watches[0].cancel()

        async def room() -> bool:
            try:
                await opened(channel, "192.0.2.1")
            except grpc.aio.AioRpcError:
                return False
            return True

        await eventually(room)


async def test_addresses_of_one_ipv6_network_share_a_limit() -> None:
    async with served(StreamAllowances(of_address=1)) as channel:
        await opened(channel, "2001:db8::1")
        assert (await refused(channel, "2001:db8::2"))[0] == "streams_of_address"
        await opened(channel, "2001:db8:1::1")


async def test_all_streams_together_are_limited() -> None:
    async with served(StreamAllowances(of_address=2, in_total=3)) as channel:
        for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
            await opened(channel, address)
        assert await refused(channel, "192.0.2.3") == ("streams", "3 open streams")


async def test_streams_without_a_credential_leave_room_for_users() -> None:
    async with served(StreamAllowances(anonymous=2)) as channel:
        for address in ("192.0.2.1", "192.0.2.2"):
            await opened(channel, address)
        assert await refused(channel, "192.0.2.3") == ("anonymous_streams", "2 open streams without a credential")


async def test_reflection_streams_are_counted() -> None:
    async with served(StreamAllowances(of_address=1)) as channel:
        reflection: Any = ServerReflectionStub(channel).ServerReflectionInfo(metadata=from_address("192.0.2.1"))
        await reflection.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        assert (await reflection.read()).list_services_response.service
        assert (await refused(channel, "192.0.2.1"))[0] == "streams_of_address"


class Call:
    """The context of a call from this machine."""

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()


async def endless(request: Any, context: Any) -> AsyncIterator[Any]:
    while True:
        yield request


async def test_streams_of_one_user_are_limited_and_others_are_not_affected() -> None:
    method = f"/{event_service_pb2.DESCRIPTOR.services_by_name['EventService'].full_name}/WatchEvents"
    watch = OpenStreams(Peers([]), StreamAllowances(of_user=2)).around_stream(method, endless)

    async def begin(user_id: int) -> Any:
        caller.adopt(Caller(user_id, str(user_id)))
        stream: Any = watch(object(), Call())  # type: ignore[arg-type]
        await anext(stream)
        return stream

    first, _, _ = await begin(1), await begin(1), await begin(2)
    with pytest.raises(RateLimitExceeded, match="streams_of_user reached: at most 2 open streams per user"):
        await begin(1)
    await first.aclose()
    await begin(1)
