"""The embedded Redis: what it keeps, and who may connect."""

from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from deploy.local.servers.redis import RedisServer
from tests.support.ports import any_free_port


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A server of the test's own, in a folder whose name needs quoting."""
    server = RedisServer(tmp_path / "with a space", any_free_port())
    await server.start()
    yield server
    await server.stop()


async def test_data_survives_an_orderly_stop(server: RedisServer) -> None:
    async with Redis.from_url(server.url(), decode_responses=True) as client:
        await client.set("note", "kept")
    await server.stop()
    await server.start()
    async with Redis.from_url(server.url(), decode_responses=True) as client:
        assert await client.get("note") == "kept"


async def test_data_survives_a_kill(server: RedisServer) -> None:
    """A crash of the machine may lose the writes of the last second; a kill of the process loses nothing."""
    async with Redis.from_url(server.url(), decode_responses=True) as client:
        await client.set("note", "kept")
    server.process.kill()
    await server.process.crashes.get()
    await server.start()
    async with Redis.from_url(server.url(), decode_responses=True) as client:
        assert await client.get("note") == "kept"


async def test_only_loopback_connections_with_the_password_are_accepted(server: RedisServer) -> None:
    listening = [one.laddr for one in psutil.Process(server.process.pid).net_connections() if one.status == psutil.CONN_LISTEN]
    assert [(*address,) for address in listening] == [("127.0.0.1", server.port)]
    async with Redis(port=server.port) as unauthenticated:
        with pytest.raises(AuthenticationError):
            await unauthenticated.ping()
