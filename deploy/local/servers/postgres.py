"""PostgreSQL from the binaries of a wheel: a server in a folder, on TCP on loopback; works for root and other users."""

import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import asyncpg

from deploy.local import placement
from deploy.local.errors import LaunchError
from deploy.local.servers import postgres_data
from deploy.local.servers.postgres_data import ENVIRONMENT, USER
from deploy.local.supervision.process import Process, ProcessSpec
from deploy.local.supervision.traces import Traces

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # No Unix socket: its path is limited to 107 bytes, and the data folder's may be longer.
    "unix_socket_directories": "",
    # Full pools (DB_POOL_SIZE + DB_MAX_OVERFLOW) of six processes, and some for operators.
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The statements are short and prepared: compiling them costs more than it saves.
    "jit": "off",
}
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


class PostgresServer:
    """A server with its data and password in `folder`, which are created at the first start and kept.

    As root, the data may be outside of the folder (`deploy.local.placement`). `settings` override SETTINGS and have PostgreSQL's names.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        traces: Traces | None = None,
        settings: Mapping[str, str] = NO_SETTINGS,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        self.placement = placement.choose(folder.resolve())
        options = [f"--{name}={value}" for name, value in {**SETTINGS, **settings, "port": str(port)}.items()]
        self.process = Process(
            ProcessSpec(
                name="postgres",
                command=[str(self.placement.programs / "postgres"), "-D", str(self.placement.data), *options],
                traces=traces or Traces(folder / "postgres.log"),
                ready=self._ready,
                environment=ENVIRONMENT,
                prepare=self._prepare,
                account=self.placement.account,
                stop_signal=signal.SIGINT,  # a fast shutdown: ends the sessions, writes a checkpoint
            )
        )

    async def start(self) -> None:
        """Starts the server; creates the data folder if there is none."""
        await self.process.start()

    async def stop(self) -> None:
        """Ends the sessions and stops the server."""
        await self.process.stop()

    def url(self, database: str) -> str:
        """The `DATABASE_URL` of one of its databases, once it has been started."""
        return f"postgresql+asyncpg://{USER}:{self._password()}@127.0.0.1:{self.port}/{database}"

    async def create_database(self, name: str) -> str:
        """Creates the database if it does not exist; returns its URL."""
        async with self._connection() as connection:
            # UniqueViolationError: two callers create it at the same time.
            with suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                await connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    async def drop_database(self, name: str) -> None:
        """Deletes a database and ends the sessions that use it."""
        async with self._connection() as connection:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def erase(self) -> None:
        """Deletes the data of a stopped server."""
        shutil.rmtree(self.placement.outside, ignore_errors=True)
        shutil.rmtree(self.placement.folder, ignore_errors=True)

    def _password(self) -> str:
        return postgres_data.password_file(self.placement).read_text()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """Raises LaunchError while the server is not running: a process that depends on it is then started again."""
        try:
            connection = await asyncpg.connect(host="127.0.0.1", port=self.port, user=USER, password=self._password(), database="postgres")
            try:
                yield connection
            finally:
                await connection.close()
        except (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InterfaceError) as error:
            raise LaunchError(f"PostgreSQL cannot be reached on port {self.port}: {error or type(error).__name__}") from error

    async def _ready(self, pid: int) -> bool:
        """Whether the lock file, in which the server keeps its state, says so; pg_ctl does the same."""
        lines = postgres_data.lock_file(self.placement.data)
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    async def _prepare(self) -> Mapping[str, str]:
        await postgres_data.prepare(self.placement)
        return {}
