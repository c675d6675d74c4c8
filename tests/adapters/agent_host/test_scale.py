"""1,500 agents on all 800 ports: one host is ready in seconds and fits into memory."""

import asyncio
import resource
import subprocess
import sys
from pathlib import Path
from time import monotonic

import psutil
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb
from grpc_health.v1.health_pb2 import HealthCheckResponse

from deploy.local.limits import raise_descriptor_limit
from tests.adapters.agent_host.running import running_host

AGENTS, PORTS = 1_500, 800
READY_SECONDS = 10
"""The bound of the design is 5 s; a machine that is shared with other tests gets twice that."""
MEGABYTE = 1024 * 1024
MOST_RSS = 400 * MEGABYTE


@pytest.mark.timeout(180)
async def test_1500_agents_on_800_ports_are_ready_in_seconds_within_400_mb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raise_descriptor_limit()
    definitions = tmp_path / "definitions"
    subprocess.run([sys.executable, "-m", "definitions", "generate", str(AGENTS), str(definitions)], check=True)
    began = monotonic()
    async with running_host(tmp_path, definitions, "http://127.0.0.1:1", range(1, AGENTS + 1)) as host:
        ready = monotonic() - began
        process = psutil.Process(host.process.pid)
        idle = process.memory_info().rss
        assert host.facts == {"agents": AGENTS, "ports": PORTS, "disabled": []}
        states = await asyncio.gather(*(host.health(number) for number in range(PORTS)))
        assert set(states) == {HealthCheckResponse.SERVING}
        described = await asyncio.gather(*(_describe(host, number) for number in range(101, 301)))
        assert described == list(range(101, 301))
        used = process.memory_info().rss
        files = process.num_fds()
    figures = f"ready in {ready:.2f} s; {idle / MEGABYTE:.0f} MB idle, {used / MEGABYTE:.0f} MB with 800 callers; {files} descriptors"
    with capsys.disabled():
        print(f"\n{AGENTS} agents on {PORTS} ports: {figures}")  # noqa: T201 (the figure is what this test is for)
    assert used < MOST_RSS, figures
    assert ready < READY_SECONDS, figures
