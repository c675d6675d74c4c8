"""A Redis for one test, which may stop it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.servers.redis import RedisServer
from tests.support.ports import any_free_port


@asynccontextmanager
async def running_redis(folder: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(folder, any_free_port())
    await server.start()
    yield server
    await server.stop()
