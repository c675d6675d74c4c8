import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import asyncpg
import grpc
import pytest
from redis.asyncio import Redis
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from catalogue.pricing.model_names import ModelNames
from catalogue.pricing.prices import PriceBook
from mesh.rpc.channel import ChannelPool
from mesh.rpc.serving.server import Health
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.executions.agents import AgentAddresses, GrpcAgents
from orchestrator.adapters.health.probes import AgentHostsProbe, PostgresProbe, RedisProbe
from orchestrator.adapters.postgres.engine import create_engine
from orchestrator.health.ports import Component
from orchestrator.registry.service import RegistryService
from tests.adapters.agent_host.running import free_offset
from tests.support.call_tokens import SIGNER
from tests.support.ports import any_free_port
from tests.unit.orchestrator.making import catalogue, definition

NUMBERS = range(1, 9)


@pytest.fixture
def offset() -> int:
    """Moves the agents to free ports."""
    return free_offset(NUMBERS)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def serve(stack: AsyncExitStack, *ports: int) -> None:
    """Agent hosts that serve on these ports."""
    for port in ports:
        server = grpc.aio.server()
        health = Health(server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        await health.set("", serving=True)
        await server.start()
        stack.push_async_callback(server.stop, 0)


async def hosts(stack: AsyncExitStack, offset: int, shards: int, numbers: Sequence[int] = NUMBERS) -> Component:
    channels = ChannelPool(BackgroundTasks())
    stack.push_async_callback(channels.close)
    agents = GrpcAgents(channels, AgentAddresses("127.0.0.1", shards, offset), SIGNER, 1, BackgroundTasks())
    agents_of_test = catalogue(*(definition(number) for number in numbers))
    registry = RegistryService(agents_of_test, ModelNames(PriceBook.load(), "claude-sonnet-5-5"), offset, agents)
    return await AgentHostsProbe(agents, registry, shards).check()


async def test_a_serving_host_is_counted(stack: AsyncExitStack, offset: int) -> None:
    await serve(stack, 8201 + offset)
    assert await hosts(stack, offset, 1) == Component("agent_hosts", True, "1 of 1 hosts serving")


@pytest.mark.parametrize("port", [8202, 8203])
async def test_a_host_serves_although_another_program_uses_its_lowest_ports(stack: AsyncExitStack, offset: int, port: int) -> None:
    other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 8201 + offset)
    await serve(stack, port + offset)
    assert (await hosts(stack, offset, 1)).available
    other.close()


async def test_each_shard_is_a_host_and_one_that_serves_is_enough(stack: AsyncExitStack, offset: int) -> None:
    await serve(stack, 8202 + offset, 8204 + offset)
    assert await hosts(stack, offset, 2) == Component("agent_hosts", True, "1 of 2 hosts serving")
    assert await hosts(stack, offset, 4) == Component("agent_hosts", True, "2 of 4 hosts serving")


async def test_no_host_is_counted_if_none_serves(stack: AsyncExitStack, offset: int) -> None:
    assert await hosts(stack, offset, 2) == Component("agent_hosts", False, "0 of 2 hosts serving")
    assert await hosts(stack, offset, 2, []) == Component("agent_hosts", False, "0 of 0 hosts serving")


async def test_postgresql_is_reported_up_or_down(engine: AsyncEngine, books_url: str) -> None:
    probe = PostgresProbe(engine, books_url)
    assert await probe.check() == Component("postgresql", True, "answers")
    await probe.close()
    url = make_url(books_url).set(port=any_free_port()).render_as_string(hide_password=False)
    for pool, own in ((create_engine(url, 1, 0), url), (create_engine(url, 1, 0), books_url), (engine, url)):
        assert await PostgresProbe(pool, own).check() == Component("postgresql", False, "does not answer")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"username": "nobody"}, "InvalidPasswordError"),
        ({"password": "guess"}, "InvalidPasswordError"),
        ({"database": "nowhere"}, "InvalidCatalogNameError"),
    ],
)
async def test_a_refused_connection_to_postgresql_is_not_ready_and_logged_with_its_cause(
    wrong: dict[str, str], error: str, engine: AsyncEngine, books_url: str
) -> None:
    """For both kinds of connection that calls use. Only the log names the user and the database."""
    url = make_url(books_url).set(**wrong).render_as_string(hide_password=False)  # type: ignore[arg-type]
    refused = Component("postgresql", False, f"refuses the connections that calls use ({error}); see the log of the orchestrator")
    for pool, own in ((create_engine(url, 1, 0), url), (create_engine(url, 1, 0), books_url), (engine, url)):
        with capture_logs() as lines:
            probe = PostgresProbe(pool, own)
            assert await probe.check() == refused
            assert await probe.check() == refused
        await probe.close()
        assert [line["event"] for line in lines] == ["database_refuses_connections"], "expected one line and not one for each check"


@pytest.mark.parametrize("first", ["pool", "own"])
async def test_postgresqls_own_words_are_reported_whichever_connection_fails_first(first: str, engine: AsyncEngine, books_url: str) -> None:
    """asyncpg may notice that the server closed a connection before it has read why."""
    probe = PostgresProbe(engine, books_url)

    async def closed() -> None:
        raise asyncpg.InterfaceError("connection is closed")

    async def refused() -> None:
        await asyncio.sleep(0)
        raise asyncpg.InvalidPasswordError("no password for ann")

    probe._query_by_pool, probe._query_by_own = (closed, refused) if first == "pool" else (refused, closed)  # type: ignore[method-assign]
    found = await probe.check()
    assert "refuses the connections that calls use (InvalidPasswordError)" in found.detail
    await probe.close()


async def test_redis_is_reported_up_or_down(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        assert await RedisProbe(redis).check() == Component("redis", True, "answers")
    async with Redis(port=any_free_port()) as redis:
        assert await RedisProbe(redis).check() == Component("redis", False, "does not answer")


@pytest.mark.parametrize("probe", ["postgresql", "redis"])
async def test_a_silent_component_times_out(probe: str) -> None:
    silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with asyncio.timeout(2):
        if probe == "redis":
            async with Redis(port=port) as redis:
                assert not (await RedisProbe(redis).check()).available
        else:
            engine = create_engine(f"postgresql+asyncpg://u:p@127.0.0.1:{port}/x", 1, 0)
            assert not (await PostgresProbe(engine, f"postgresql+asyncpg://u:p@127.0.0.1:{port}/x").check()).available
    silent.close()
