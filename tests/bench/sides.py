"""The sides of the comparison: each has one HTTP port, and all use the same provider."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.lifted_limits import LIFTED
from deploy.local.programs import Provider
from deploy.local.stack import Stack
from tests.bench.load.closed_loop import post
from tests.contract.gateway.running import lone_gateway
from tests.support.ports import any_free_port, free_port_offset
from tests.support.waiting import eventually

AGENT = "marketing_seo_strategist_agent_1_1"
QUESTION = "Our category pages lost a third of their clicks since March. Where do we look first, and in what order?"
BODY = json.dumps({"input": QUESTION}).encode()
MESH_PROCESSES = ("envoy", "orchestrator", "agents-0", "postgres")


@dataclass(frozen=True, slots=True)
class Side:
    """A port, the request to send there, and the processes that answer it."""

    name: str
    port: int
    request: bytes
    pids: Mapping[str, int]


@asynccontextmanager
async def provider(seconds: float = 0) -> AsyncIterator[tuple[str, int]]:
    """The URL and process id of a provider with this delay."""
    port = any_free_port()
    async with _python("tests.bench.programs.provider", str(port), str(seconds), port=port) as pid:
        yield f"http://127.0.0.1:{port}", pid


@asynccontextmanager
async def mesh(folder: Path, provider_url: str, environment: Mapping[str, str] = LIFTED, **gateway: Any) -> AsyncIterator[Side]:
    """The whole local stack: Envoy, orchestrator, agent host, PostgreSQL, Redis."""
    real = Provider(name="anthropic", api_key="bench", base_url=provider_url)
    with free_port_offset() as offset:
        async with Stack(folder, offset, provider=real, environment=environment, gateway=gateway) as stack:
            pids = {name: stack.process(name).pid for name in MESH_PROCESSES}
            port = stack.ports.gateway
            yield Side("mesh", port, post(f"/api/v1/agents/{AGENT}/execute", BODY, f"localhost:{port}", stack.credentials.token), pids)


@asynccontextmanager
async def peer(provider_url: str) -> AsyncIterator[Side]:
    """The same platform built plainly in FastAPI: two services."""
    agent, orchestrator = any_free_port(), any_free_port()
    async with (
        _python("tests.bench.programs.peer", "agent", str(agent), provider_url, port=agent) as agent_pid,
        _python("tests.bench.programs.peer", "orchestrator", str(orchestrator), f"http://127.0.0.1:{agent}", port=orchestrator) as pid,
    ):
        request = post(f"/api/v1/agents/{AGENT}/execute", BODY, f"localhost:{orchestrator}")
        yield Side("peer", orchestrator, request, {"peer orchestrator": pid, "peer agent": agent_pid})


@asynccontextmanager
async def floor(folder: Path, provider_url: str) -> AsyncIterator[Side]:
    """The mesh's hops without its work: Envoy, and two bare gRPC services."""
    agent, orchestrator = any_free_port(), any_free_port()
    async with (
        _python("tests.bench.programs.floor", "agent", str(agent), provider_url, port=agent) as agent_pid,
        _python("tests.bench.programs.floor", "orchestrator", str(orchestrator), str(agent), port=orchestrator) as pid,
        lone_gateway(folder, orchestrator, concurrency=2, per_ip_rate=1_000_000, per_ip_burst=1_000_000) as gateway,
    ):
        request = post(f"/api/v1/agents/{AGENT}/execute", BODY, f"localhost:{gateway.port}")

        async def sees_orchestrator() -> bool:
            return (await gateway.http.get("/api/v1/agents")).status_code != 503

        await eventually(sees_orchestrator)
        yield Side("floor", gateway.port, request, {"envoy": gateway.pid, "bare orchestrator": pid, "bare agent": agent_pid})


@asynccontextmanager
async def _python(module: str, *arguments: str, port: int) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *arguments)
    try:
        await eventually(lambda: _listens(port))
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
