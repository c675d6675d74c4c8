"""Real agent host processes, and the definitions that they serve."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import grpc
import psutil
from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from catalogue.model import calculate_port
from mesh.rpc.channel import CHANNEL_OPTIONS
from tests.support.call_tokens import PUBLIC_KEY, call_token_interceptors
from tests.support.ports import claim
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceAsyncStub

START_SECONDS = 60
"""Most of a start is the import of the provider's SDK: 3 s of CPU time on a shared machine."""


HOST_OFFSETS = range(2_000, 10_000, 25)
"""These offsets put the agents' ports, 8200 to 8999, above the single ports and below the undisturbed stacks'."""


ALONE, FIRST, SECOND, CHECKED = 1, 7, 807, 20
"""Numbers of the agents: one alone on its port, two that share a port, and one with a schema for its context."""
SCHEMA = """\
context_schema:
  type: object
  properties:
    market: {type: string}
    year: {type: integer, minimum: 2000}
  required: [market]
"""


def agent_id(number: int) -> str:
    return f"own_helper_agent_1_{number}"


def write_agent(folder: Path, number: int, focus: str = "You know tea.", extra: str = "") -> Path:
    """Write one agent's file atomically, as an editor does."""
    path = folder / f"helper_{number}.yaml"
    draft = path.with_suffix(".draft")
    draft.write_text(
        f"category: own\nrole: helper\nprompt: |\n  You are Helper {number}, who helps people.\n  {focus}\n"
        f"agent_id: {agent_id(number)}\nname: Helper {number}\ndescription: Helps people.\n{extra}"
    )
    draft.replace(path)
    return path


@dataclass
class Host:
    """A running agent host."""

    process: asyncio.subprocess.Process
    offset: int
    facts: dict[str, Any]
    """The content of its ready file."""
    log: Path
    seconds: float
    """Seconds from its start to its ready file."""
    cpu_seconds: float
    """CPU seconds used until then."""
    _channels: dict[int, grpc.aio.Channel] = field(default_factory=dict)

    def port(self, number: int) -> int:
        """The port of the agent with this number."""
        return calculate_port(number, self.offset)

    def channel(self, number: int) -> grpc.aio.Channel:
        """A channel that calls as the orchestrator does, with a call token for each call."""
        port = self.port(number)
        if port not in self._channels:
            self._channels[port] = grpc.aio.insecure_channel(
                f"127.0.0.1:{port}", options=CHANNEL_OPTIONS, interceptors=call_token_interceptors(agent_id(number))
            )
        return self._channels[port]

    def stub(self, number: int) -> "AgentServiceAsyncStub":
        return AgentServiceStub(self.channel(number))

    async def health(self, number: int, service: str = "") -> int:
        """The state that the agent's server reports; UNKNOWN if it is unreachable or does not know the service."""
        try:
            answer = await HealthStub(self.channel(number)).Check(HealthCheckRequest(service=service), timeout=1)
        except grpc.aio.AioRpcError:
            return int(HealthCheckResponse.UNKNOWN)
        return int(answer.status)

    async def serves(self, number: int) -> bool:
        """Whether it accepts calls for the agent with this number."""
        return await self.health(number, agent_id(number)) == int(HealthCheckResponse.SERVING)

    def logged(self) -> list[dict[str, Any]]:
        """Its log so far, without the lines that gRPC's core writes directly to standard error."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()

    async def stop(self) -> int:
        """Stop the process and return its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(40):
            return await self.process.wait()


def free_offset(numbers: Iterable[int]) -> int:
    """An offset that moves these agents to free ports, which stay reserved for this process until it exits."""
    ports = {calculate_port(number) for number in numbers}
    return next(offset for offset in HOST_OFFSETS if claim(port + offset for port in ports))


async def announced(process: asyncio.subprocess.Process, ready: Path, log: Path) -> None:
    """Waits until the process has written its ready file; kills it if it takes too long."""

    def written() -> bool:
        assert process.returncode is None, log.read_text()
        return ready.exists()

    try:
        await eventually(written, within=START_SECONDS)
    except BaseException:
        if process.returncode is None:
            process.kill()
        raise


async def start_host(folder: Path, definitions: Path, provider_url: str, offset: int, **settings: str) -> Host:
    """Start a host with `folder` for its files, and return it once it is ready."""
    ready = folder / "ready.json"
    environment = {
        **os.environ,
        "ANTHROPIC_API_KEY": "any",
        "ANTHROPIC_BASE_URL": provider_url,
        "MODEL_PROVIDER": "simulator",
        "DEFINITIONS_PATH": str(definitions),
        "PORT_OFFSET": str(offset),
        "READY_FILE": str(ready),
        "DRAIN_NOTICE_SECONDS": "0.1",
        "CALL_TOKEN_PUBLIC_KEY": PUBLIC_KEY,
        **settings,
    }
    began = monotonic()
    with (folder / "log.jsonl").open("wb") as log:
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "agent_server", env=environment, stderr=log)

    await announced(process, ready, folder / "log.jsonl")
    used = psutil.Process(process.pid).cpu_times()
    facts = json.loads(ready.read_text())
    return Host(process, offset, facts, folder / "log.jsonl", monotonic() - began, used.user + used.system)


@contextlib.asynccontextmanager
async def running_host(
    folder: Path, definitions: Path, provider_url: str, numbers: Iterable[int] = (), offset: int | None = None, **settings: str
) -> AsyncIterator[Host]:
    """A host on free ports for agents with these numbers, or on ports moved by `offset`.

    It is stopped at the end; it must exit with 0 and must not have logged an unexpected error.
    """
    host = await start_host(folder, definitions, provider_url, free_offset(numbers) if offset is None else offset, **settings)
    try:
        yield host
    finally:
        await host.close()
        code = await host.stop()
    assert code == 0
    assert "Traceback" not in host.log.read_text()
    assert [line for line in host.logged() if line["event"] in ("unexpected_error", "turn_failed")] == []
