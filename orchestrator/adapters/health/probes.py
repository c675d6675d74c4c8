"""Asks the components of the platform how they are."""

import asyncio
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import ServiceUnavailable
from orchestrator.adapters.executions.agents import GrpcAgents
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.health.ports import Component
from orchestrator.registry.model import HealthState
from orchestrator.registry.service import RegistryService

PROBE_SECONDS = 1.0
PORTS_ASKED = 3


class PostgresProbe:
    """The database. No call is taken without it."""

    required = True

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def check(self) -> Component:
        """Whether a query is answered within a second."""
        try:
            with unavailable():
                async with asyncio.timeout(PROBE_SECONDS), self._engine.connect() as connection:
                    await connection.execute(text("SELECT 1"))
        except ServiceUnavailable:
            return Component("postgresql", False, "does not answer")
        return Component("postgresql", True, "answers")


class RedisProbe:
    """Redis. Calls can do without it."""

    required = False

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def check(self) -> Component:
        """Whether a ping is answered within a second."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError):
            return Component("redis", False, "does not answer")
        return Component("redis", True, "answers")


class AgentHostsProbe:
    """The agent hosts, each asked on the three lowest ports on which agents of its live. At least one must serve.

    One port would not do: another program may have taken it, and then the host serves all the others.
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
