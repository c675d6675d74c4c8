"""Real worker and consumer processes: their health port, and their exit when a background task dies of a real error."""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from sqlalchemy import text

from orchestrator.adapters.postgres.engine import create_engine
from orchestrator.adapters.postgres.migration import migrate
from tests.adapters.agent_host.running import write_agent
from tests.conftest import CreateDatabase
from tests.support.call_tokens import PRIVATE_KEY
from tests.support.ports import any_free_port
from tests.support.waiting import eventually


class Program:
    """A process of the platform with a database of its own."""

    def __init__(self, name: str, folder: Path, url: str, redis_url: str) -> None:
        self._module = f"orchestrator.processes.{name}"
        self._log = folder / "log"
        self._ready_file = folder / "ready.json"
        write_agent(folder, 1)
        self.url = url
        self._settings = {
            "DATABASE_URL": url,
            "REDIS_URL": redis_url,
            "DEFINITIONS_PATH": str(folder),
            "READY_FILE": str(self._ready_file),
            "CALL_TOKEN_PRIVATE_KEY": PRIVATE_KEY,
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{any_free_port()}",
            "HEALTH_PORT": "0",
        }

    async def start(self, **settings: str) -> None:
        with self._log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self._module), env={**os.environ, **self._settings, **settings}, stderr=log
            )

        async def started() -> bool:
            return self._ready_file.exists() or self.process.returncode is not None

        await eventually(started, 60)

    async def health(self, address: str = "127.0.0.1", service: str = "") -> int:
        facts: Mapping[str, Any] = json.loads(self._ready_file.read_text())
        async with grpc.aio.insecure_channel(f"{address}:{facts['health_port']}") as channel:
            return int((await HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=5)).status)

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 30)

    @property
    def output(self) -> str:
        return self._log.read_text()

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


@pytest.fixture(params=["worker", "consumer"])
async def program(request: pytest.FixtureRequest, create_database: CreateDatabase, redis_url: str, tmp_path: Path) -> Program:
    return Program(request.param, tmp_path, await create_database(f"failing_{secrets.token_hex(4)}"), redis_url)


async def test_a_process_serves_health_where_it_is_told_and_exits_with_0(program: Program) -> None:
    await program.start(HEALTH_ADDRESS="127.0.0.2")
    assert await program.health("127.0.0.2") == HealthCheckResponse.SERVING
    assert await program.health("127.0.0.2", "live") == HealthCheckResponse.SERVING
    program.process.terminate()
    assert await program.ended() == 0


async def test_a_task_that_dies_ends_the_process_with_an_error(program: Program) -> None:
    engine = create_engine(program.url, 1, 0)
    await migrate(engine)
    async with engine.begin() as connection:
        # Each process has a loop that reads one of these tables from the start, and a missing table is not a retryable error.
        await connection.execute(text("ALTER TABLE steps RENAME TO gone"))
        await connection.execute(text("DROP TABLE consumed_events"))
    await engine.dispose()
    await program.start()
    assert await program.ended() == 1
    line = program.logged("task_ended_unexpectedly")[0]
    assert line["task"] in ("step claims", "step recovery", "consumer upkeep")
    assert "UndefinedTableError" in json.dumps(line["exception"])


async def test_a_health_port_in_use_is_reported_before_anything_starts(program: Program) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await program.start(HEALTH_PORT=str(port))
    assert await program.ended() == 2
    assert f"cannot listen on HEALTH_PORT {port}" in program.output
    server.close()
