"""One real simulator process for all of these tests, its control endpoints, and the SDK's client as the agent host configures it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from anthropic import AsyncAnthropic, DefaultAioHttpClient

from tests.support.waiting import eventually


@dataclass(frozen=True)
class Simulator:
    """A running simulator and the operations of tests on it."""

    url: str
    log_file: Path
    process: asyncio.subprocess.Process
    http: aiohttp.ClientSession

    async def control(self, method: str, path: str, body: object = None) -> Any:
        async with self.http.request(method, f"{self.url}/control/{path}", json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def fault(self, name: str, argument: int | None = None, count: int | None = None, **match: str) -> None:
        await self.control("POST", "faults", {"fault": name, "argument": argument, "count": count, "match": match})

    async def active(self) -> int:
        return int((await self.control("GET", "active"))["active"])

    async def idle(self) -> bool:
        return await self.active() == 0

    async def entries(self, execution_id: str) -> list[dict[str, Any]]:
        """The entries of one execution, as they are in the log file."""
        lines = (json.loads(line) for line in self.log_file.read_text().splitlines())
        return [line for line in lines if line["execution_id"] == execution_id]

    async def ended(self, execution_id: str) -> dict[str, Any]:
        """The last entry of an execution, once it exists."""

        async def last() -> dict[str, Any] | None:
            lines = await self.entries(execution_id)
            return lines[-1] if lines and lines[-1]["outcome"] != "started" else None

        return dict(await eventually(last))


async def start_simulator(folder: Path, **settings: str) -> tuple[asyncio.subprocess.Process, Path]:
    """Start a simulator process with `folder` for its files; returns it and its ready file, which may not exist yet."""
    ready = folder / "ready.json"
    environment = {**os.environ, "READY_FILE": str(ready), "SIMULATOR_LOG": str(folder / "log.jsonl"), "SIMULATOR_PORT": "0", **settings}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.simulator"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return process, ready


@asynccontextmanager
async def running_simulator(folder: Path) -> AsyncIterator[Simulator]:
    """A simulator that ends with the block, without an error in its log."""
    process, ready = await start_simulator(folder)
    port = await port_of(ready)
    async with aiohttp.ClientSession() as http:
        yield Simulator(f"http://127.0.0.1:{port}", folder / "log.jsonl", process, http)
    process.terminate()
    _, errors = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in errors, errors.decode()


async def port_of(ready: Path) -> int:
    """The port in a ready file, once the file exists."""

    async def port() -> int:
        return _port_in(ready)

    return int(await eventually(port))


def _port_in(ready: Path) -> int:
    return int(json.loads(ready.read_text())["port"]) if ready.exists() else 0


@pytest.fixture(scope="session")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Simulator]:
    async with running_simulator(tmp_path_factory.mktemp("simulator")) as simulator:
        yield simulator


@pytest.fixture
async def simulator(running: Simulator) -> AsyncIterator[Simulator]:
    """The simulator, without the faults of earlier tests."""
    yield running
    await running.control("DELETE", "faults")
    await running.control("POST", "defaults", {"delay_ms": 0, "trickle_ms": 0})


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[AsyncAnthropic]:
    """The SDK's client without retries, so that a test sees every response."""
    async with AsyncAnthropic(base_url=simulator.url, api_key="any", max_retries=0, http_client=DefaultAioHttpClient()) as client:
        yield client
