"""A mesh whose parts can be killed and restarted."""

import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg

from deploy.local.servers.postgres import PostgresServer
from deploy.local.servers.redis import RedisServer
from tests.adapters.agent_host.running import ALONE, CHECKED, FIRST, free_offset, start_host
from tests.adapters.simulator.conftest import Simulator, port_of, start_simulator
from tests.rpc.orchestrator.conftest import write_definitions
from tests.rpc.orchestrator.running import Mesh, running_orchestrator
from tests.support.ports import any_free_port
from tests.support.waiting import eventually


@dataclass
class FragileMesh(Mesh):
    """The mesh with its servers; `db` is replaced after PostgreSQL was killed."""

    postgres: PostgresServer
    redis: RedisServer
    folder: Path

    async def kill_host(self) -> None:
        self.host.process.kill()
        await self.host.process.wait()

    async def start_host(self) -> None:
        await self.host.close()
        (self.folder / "host" / "ready.json").unlink()
        self.host = await start_host(self.folder / "host", self.folder / "definitions", self.provider.url, self.host.offset)

    async def kill_postgres(self) -> None:
        self.postgres.process.kill(signal.SIGKILL)

        async def ended() -> bool:
            return not self.postgres.process.running

        await eventually(ended)

    async def start_postgres(self) -> None:
        await self.postgres.start()
        self.db = await asyncpg.connect(self.postgres.url("books").replace("+asyncpg", ""))

    async def restore(self) -> None:
        """Restarts the parts that are down, and waits until calls are answered again."""
        await self.provider.control("DELETE", "faults")
        await self.redis.start()
        if not self.postgres.process.running:
            await self.start_postgres()
        if self.host.process.returncode is None:
            self.host.process.send_signal(signal.SIGCONT)
        else:
            await self.start_host()

        async def answered() -> bool:
            return not (await self.call().execute().code()).value[0]

        await eventually(answered)


@contextlib.asynccontextmanager
async def fragile_mesh(folder: Path) -> AsyncIterator[FragileMesh]:
    """All parts of the mesh, on free ports."""
    async with contextlib.AsyncExitStack() as stack:
        postgres, redis = (
            PostgresServer(folder / "postgres", any_free_port(), settings={"fsync": "off"}),
            RedisServer(folder / "redis", any_free_port()),
        )
        stack.callback(postgres.erase)
        for server in (postgres, redis):
            await server.start()
            stack.push_async_callback(server.stop)
        url = await postgres.create_database("books")
        definitions = write_definitions(folder / "definitions")
        for name in ("provider", "host", "orchestrator"):
            (folder / name).mkdir()
        process, ready = await start_simulator(folder / "provider")
        stack.push_async_callback(process.wait)
        stack.callback(process.terminate)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        provider = Simulator(f"http://127.0.0.1:{await port_of(ready)}", folder / "provider" / "log.jsonl", process, http)
        host = await start_host(folder / "host", definitions, provider.url, free_offset((ALONE, FIRST, CHECKED)))
        settings = {"DATABASE_URL": url, "REDIS_URL": redis.url(), "DEFINITIONS_PATH": str(definitions), "PORT_OFFSET": str(host.offset)}
        orchestrator = await stack.enter_async_context(running_orchestrator(folder / "orchestrator", **settings))
        db = await asyncpg.connect(url.replace("+asyncpg", ""))
        mesh = FragileMesh(orchestrator, host, provider, db, postgres, redis, folder)
        try:
            yield mesh
        finally:
            await mesh.db.close()
            await mesh.host.close()
            await mesh.host.stop()
