"""Checks the components of the platform."""

import asyncio
from collections.abc import Sequence

import asyncpg
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import ServiceUnavailable
from orchestrator.adapters.executions.agents import GrpcAgents
from orchestrator.adapters.postgres.connection import LazyConnection
from orchestrator.adapters.postgres.engine import CONNECTION_LOST, unavailable
from orchestrator.health.ports import Component
from orchestrator.registry.model import HealthState
from orchestrator.registry.service import RegistryService

log = structlog.get_logger()

PROBE_SECONDS = 1.0
PORTS_ASKED = 3


class PostgresProbe:
    """PostgreSQL, without which no call is accepted: by both kinds of connection that calls use, the pool and the recorder's own."""

    required = True

    def __init__(self, engine: AsyncEngine, database_url: str) -> None:
        self._engine = engine
        self._own = LazyConnection(database_url)
        self._reported: str | None = None

    async def check(self) -> Component:
        """Whether both answer a query within a second; if PostgreSQL refuses the connection, that is the detail."""
        outcomes: Sequence[BaseException | None]
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                # Both to their end: a query that goes on alone would share its connection with the next check's.
                outcomes = await asyncio.gather(self._query_by_pool(), self._query_by_own(), return_exceptions=True)
        except TimeoutError as timeout:
            outcomes = [timeout]
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if not errors:
            self._reported = None
            return Component("postgresql", True, "answers")
        self._own.drop()
        for error in errors:
            if not isinstance(error, (ServiceUnavailable, asyncpg.PostgresError, *CONNECTION_LOST)):
                raise error
        return Component("postgresql", False, self._explain(errors))

    async def close(self) -> None:
        """Closes the connection that it keeps."""
        await self._own.close()

    async def _query_by_pool(self) -> None:
        with unavailable():
            async with self._engine.connect() as connection:
                await connection.execute(text("SELECT 1"))

    async def _query_by_own(self) -> None:
        await (await self._own.get()).fetchval("SELECT 1")

    def _explain(self, errors: Sequence[BaseException]) -> str:
        """What is wrong, without what PostgreSQL says about users and databases: anyone may read it. The log has that.

        PostgreSQL's own words come first. Now and then asyncpg notices that the server closed the connection before it has read why, and
        reports only that (InterfaceError).
        """
        causes = [_root(error) for error in errors]
        cause = next((one for one in causes if isinstance(one, asyncpg.PostgresError)), causes[0])
        if isinstance(cause, TimeoutError | OSError):
            return "does not answer"
        if self._reported != str(cause):
            log.error("database_refuses_connections", error=f"{type(cause).__name__}: {cause}")
            self._reported = str(cause)
        return f"refuses the connections that calls use ({type(cause).__name__}); see the log of the orchestrator"


def _root(error: BaseException) -> BaseException:
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


class RedisProbe:
    """Redis, which calls can do without."""

    required = False

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def check(self) -> Component:
        """Whether Redis answers a ping within a second."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError):
            return Component("redis", False, "does not answer")
        return Component("redis", True, "answers")


class AgentHostsProbe:
    """The agent hosts, of which at least one must serve. Each is asked on the three lowest of its agents' ports.

    One port is not enough: if another program has taken it, the host still serves all the others.
    """

    required = True

    def __init__(self, agents: GrpcAgents, registry: RegistryService, shards: int) -> None:
        self._agents = agents
        self._registry = registry
        self._shards = shards

    async def check(self) -> Component:
        """How many hosts serve."""
        ports_of: dict[int, list[int]] = {}
        for port in self._registry.ports():
            ports_of.setdefault(port % self._shards, []).append(port)
        hosts = await asyncio.gather(*(self._serves(ports[:PORTS_ASKED]) for ports in ports_of.values()))
        return Component("agent_hosts", any(hosts), f"{sum(hosts)} of {len(hosts)} hosts serving")

    async def _serves(self, ports: Sequence[int]) -> bool:
        return HealthState.SERVING in await asyncio.gather(*(self._agents.check("", port) for port in ports))
