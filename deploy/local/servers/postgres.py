"""PostgreSQL from a wheel's binaries: a server of one's own in a folder, over TCP on loopback, as root or not."""

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
from deploy.local.supervision.process import Process, ProcessSpec, Traces

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # No socket file: the data folder's path may be longer than the 107 bytes that a socket's may have.
    "unix_socket_directories": "",
    # A full pool (DB_POOL_SIZE + DB_MAX_OVERFLOW) of six processes, and places for the person who looks.
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Our statements are short and prepared: compiling them costs more than it saves.
    "jit": "off",
}
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


class PostgresServer:
    """A server whose data and password live in `folder`; both are made at the first start and survive every end.

    As root the data may lie outside of the folder (`deploy.local.placement`). `settings` go on top of ours, under
    PostgreSQL's own names.
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
        """Starts the server, and makes its data folder when there is none."""
        await self.process.start()

    async def stop(self) -> None:
        """Ends sessions and server in an orderly way."""
        await self.process.stop()

    def url(self, database: str) -> str:
        """What `DATABASE_URL` is for one of its databases, once it has been started."""
        return f"postgresql+asyncpg://{USER}:{self._password()}@127.0.0.1:{self.port}/{database}"

    async def create_database(self, name: str) -> str:
        """Makes an empty database unless it exists; returns its URL."""
        async with self._connection() as connection:
            # The second: of two that make it at the same time.
            with suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                await connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    async def drop_database(self, name: str) -> None:
        """Removes a database with everything in it, and ends the sessions that use it."""
        async with self._connection() as connection:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def erase(self) -> None:
        """Removes the data of a stopped server, wherever it lies."""
        shutil.rmtree(self.placement.outside, ignore_errors=True)
        shutil.rmtree(self.placement.folder, ignore_errors=True)

    def _password(self) -> str:
        return postgres_data.password_file(self.placement).read_text()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """LaunchError while the server is not there, or goes: whoever needs it to start will try again."""
        try:
            connection = await asyncpg.connect(host="127.0.0.1", port=self.port, user=USER, password=self._password(), database="postgres")
            try:
                yield connection
            finally:
                await connection.close()
        except (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InterfaceError) as error:
            raise LaunchError(f"PostgreSQL cannot be reached on port {self.port}: {error or type(error).__name__}") from error

    async def _ready(self, pid: int) -> bool:
        """What pg_ctl looks at as well: the state that the server keeps in its lock file."""
        lines = postgres_data.lock_file(self.placement.data)
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    async def _prepare(self) -> Mapping[str, str]:
        await postgres_data.prepare(self.placement)
        return {}
