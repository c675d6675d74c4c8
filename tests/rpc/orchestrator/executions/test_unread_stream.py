import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
from agentmesh.execution.v1 import execution_service_pb2 as pb
from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub, add_ExecutionServiceServicer_to_server

from mesh.rpc.interceptors.authentication import Authentication
from mesh.rpc.interceptors.chain import chain
from mesh.rpc.interceptors.failed_credentials import FailedCredentials
from mesh.rpc.peer import Peers
from mesh.rpc.serving.server import build_server
from mesh.security.caller import Caller
from orchestrator.adapters.limits.local import LocalLimits
from orchestrator.executions.estimates import Estimates
from orchestrator.executions.service import ExecutionService
from orchestrator.executions.servicer import ExecutionServicer
from tests.support.credentials import authorized
from tests.support.waiting import eventually


class Endless:
    """Streams large pieces as fast as they are read, and records when it is ended."""

    def __init__(self) -> None:
        self.pieces = 0
        self.ended = asyncio.Event()

    async def stream(self, *_: Any) -> AsyncIterator[str]:
        try:
            while True:
                self.pieces += 1
                yield "x" * 100_000
        finally:
            self.ended.set()


class AnyCredential:
    """Accepts every credential as that of one user."""

    async def authenticate(self, credential: str) -> Caller:
        return Caller(1, "anybody")


async def test_a_client_that_stops_reading_and_cancels_ends_the_stream_during_a_write() -> None:
    """The handler is then suspended inside gRPC's write, not in our code: its generators must be closed all the same."""
    service = Endless()
    server = build_server(chain(Authentication(AnyCredential(), FailedCredentials(LocalLimits(), 1000), Peers([]))))
    add_ExecutionServiceServicer_to_server(ExecutionServicer(cast(ExecutionService, service), cast(Estimates, None)), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stream = ExecutionServiceStub(authorized(channel, "any")).StreamAgent(
            pb.StreamAgentRequest(agent_id="a_agent_1_1", input="x"), timeout=60
        )
        await stream.read()
        before = 0

        async def stuck() -> bool:
            nonlocal before
            await asyncio.wait([asyncio.ensure_future(service.ended.wait())], timeout=0.1)
            before, same = service.pieces, service.pieces == before
            return same

        await eventually(stuck)
        assert not service.ended.is_set()
        stream.cancel()
        async with asyncio.timeout(1):
            await service.ended.wait()
    await server.stop(0)
