"""1,500 agents on all 800 ports: one host is ready in seconds and stays within its memory limit."""

import asyncio
import sys
from pathlib import Path

import psutil
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from catalogue.files.cache import DocumentCache
from catalogue.files.reader import read
from deploy.local.limits import raise_descriptor_limit
from tests.adapters.agent_host.running import Host, running_host
from tests.conftest import ReportFigures

AGENTS, PORTS = 1_500, 800
READY_CPU_SECONDS = 8
"""The design's limit is 5 s on an idle machine, half of it for the import of the provider's SDK. The elapsed time depends on the other
load of the machine, so it is only printed, and the CPU time is checked."""
MEGABYTE = 1024 * 1024
MOST_RSS = 400 * MEGABYTE


@pytest.mark.timeout(180)
async def test_1500_agents_on_800_ports_are_ready_in_seconds_within_400_mb(tmp_path: Path, report_figures: ReportFigures) -> None:
    raise_descriptor_limit()
    definitions = tmp_path / "definitions"
    generating = await asyncio.create_subprocess_exec(sys.executable, "-m", "catalogue", "generate", str(AGENTS), definitions)
    assert await generating.wait() == 0
    agents = {agent.agent_id: agent.number for agent in read(definitions, cache=DocumentCache(tmp_path / "cache")).agents}
    numbers, cache = range(1, AGENTS + 1), str(tmp_path / "cache")
    async with running_host(tmp_path, definitions, "http://127.0.0.1:1", numbers, DEFINITIONS_CACHE=cache) as host:
        assert host.facts == {"agents": AGENTS, "ports": PORTS, "disabled": []}
        process = psutil.Process(host.process.pid)
        idle = process.memory_info().rss
        states = await asyncio.gather(*(_state(host, number) for number in range(PORTS)))
        assert set(states) == {HealthCheckResponse.SERVING}
        described = await asyncio.gather(*(_describe(host, agent_id, number) for agent_id, number in agents.items()))
        assert dict(described) == agents
        used, files = process.memory_info().rss, process.num_fds()
    time = f"ready in {host.seconds:.2f} s ({host.cpu_seconds:.2f} s of CPU)"
    figures = f"{time}; {idle / MEGABYTE:.0f} MB idle, {used / MEGABYTE:.0f} MB with 800 connections; {files} files"
    report_figures(f"{AGENTS} agents on {PORTS} ports: {figures}")
    assert used < MOST_RSS, figures
    assert host.cpu_seconds < READY_CPU_SECONDS, figures


async def _state(host: Host, number: int) -> int:
    # 800 connections at once from one client: some take longer than the mesh allows for a single one.
    health = HealthStub(host.channel(number))
    answer: HealthCheckResponse = await health.Check(HealthCheckRequest(), timeout=60, wait_for_ready=True)
    return int(answer.status)


async def _describe(host: Host, agent_id: str, number: int) -> tuple[str, int]:
    answer = await host.stub(number).Describe(pb.DescribeRequest(agent_id=agent_id))
    return answer.agent.agent_id, answer.agent.number
