"""One agent host for most of these tests, with one simulated provider."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb

from mesh.errors import RemoteError
from mesh.rpc.status import error_of
from tests.adapters.agent_host.running import ALONE, CHECKED, FIRST, SCHEMA, SECOND, Host, agent_id, running_host, write_agent
from tests.adapters.simulator.conftest import Simulator, running_simulator
from tests.support.ports import any_free_port


@pytest.fixture(scope="session")
async def provider(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Simulator]:
    """The provider of all these hosts."""
    async with running_simulator(tmp_path_factory.mktemp("provider")) as simulator:
        yield simulator


@pytest.fixture
async def simulator(provider: Simulator) -> AsyncIterator[Simulator]:
    """The provider, without the faults of earlier tests."""
    yield provider
    await provider.control("DELETE", "faults")
    await provider.control("POST", "defaults", {"delay_ms": 0, "trickle_ms": 0})


@pytest.fixture(scope="session")
def metrics_port() -> int:
    return any_free_port()


@pytest.fixture(scope="session")
async def host(tmp_path_factory: pytest.TempPathFactory, provider: Simulator, metrics_port: int) -> AsyncIterator[Host]:
    """A host of four agents on three ports."""
    folder = tmp_path_factory.mktemp("agent_host")
    definitions = folder / "definitions"
    definitions.mkdir()
    for number in (ALONE, FIRST, SECOND):
        write_agent(definitions, number)
    write_agent(definitions, CHECKED, extra=SCHEMA)
    numbers = (ALONE, FIRST, SECOND, CHECKED)
    async with running_host(folder, definitions, provider.url, numbers, METRICS_PORT=str(metrics_port)) as host:
        yield host


@dataclass(frozen=True)
class Call:
    """One call to the agent that is alone on its port. Its input contains its unique id."""

    host: Host
    simulator: Simulator
    id: str

    @property
    def input(self) -> str:
        return f"Please plan the migration of 40 services. Where do we begin? {self.id}"

    async def fault(self, name: str, argument: int | None = None, count: int | None = None) -> None:
        """Injects a fault at the provider for this call and no other."""
        await self.simulator.fault(name, argument, count, input_contains=self.id)

    def execute(self, timeout: float = 30, **fields: Any) -> Any:
        request = pb.ExecuteRequest(**({"agent_id": agent_id(ALONE), "input": self.input, "execution_id": self.id} | fields))
        return self.host.stub(ALONE).Execute(request, timeout=timeout)

    def stream(self, timeout: float = 30) -> Any:
        request = pb.StreamExecuteRequest(agent_id=agent_id(ALONE), input=self.input, execution_id=self.id)
        return self.host.stub(ALONE).StreamExecute(request, timeout=timeout)

    async def cancel(self) -> bool:
        answer = await self.host.stub(ALONE).Cancel(pb.CancelRequest(execution_id=self.id))
        return answer.found

    async def purchases(self) -> int:
        """The number of requests that the provider received."""
        return len([line for line in await self.simulator.entries(self.id) if line["outcome"] == "started"])

    async def asked(self) -> bool:
        """Whether the provider is working on the call."""
        return bool(await self.simulator.entries(self.id))


@pytest.fixture
def call(host: Host, simulator: Simulator) -> Call:
    return Call(host, simulator, uuid.uuid4().hex)


@dataclass(frozen=True)
class Streamed:
    """The frames of a stream and its failure."""

    frames: list[pb.StreamExecuteResponse]
    failure: grpc.aio.AioRpcError | None

    @property
    def events(self) -> list[str]:
        """The kinds of the frames, with consecutive deltas as one."""
        kinds = [str(frame.WhichOneof("event")) for frame in self.frames]
        return [kind for place, kind in enumerate(kinds) if kind != "delta" or kinds[place - 1 : place] != ["delta"]]

    @property
    def text(self) -> str:
        return "".join(frame.delta.text for frame in self.frames)


async def read(stream: Any) -> Streamed:
    """Reads a whole stream."""
    frames: list[pb.StreamExecuteResponse] = []
    try:
        async for frame in stream:
            frames.append(frame)
    except grpc.aio.AioRpcError as failure:
        return Streamed(frames, failure)
    return Streamed(frames, None)


async def failure_of(execute: Any) -> RemoteError:
    """The documented error of a failed call."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await execute
    return documented_error(failed.value)


def documented_error(failure: grpc.aio.AioRpcError | None) -> RemoteError:
    """The documented error in an exception."""
    assert failure is not None
    error = error_of(failure)
    assert error is not None, failure
    return error


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """An empty folder of definitions."""
    (tmp_path / "definitions").mkdir()
    return tmp_path / "definitions"
