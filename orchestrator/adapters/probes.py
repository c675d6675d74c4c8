"""Asks the components of the platform how they are."""

import asyncio

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import ServiceUnavailable
from orchestrator.adapters.grpc_agents import GrpcAgents
from orchestrator.adapters.postgres import unavailable
from orchestrator.platform.ports import Component
from orchestrator.registry.model import HealthState
from orchestrator.registry.service import RegistryService

PROBE_SECONDS = 1.0


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
    """The agent hosts, each asked on the lowest port on which an agent of its lives. At least one must serve."""

    required = True

    def __init__(self, agents: GrpcAgents, registry: RegistryService, shards: int) -> None:
        self._agents = agents
        self._registry = registry
        self._shards = shards

    async def check(self) -> Component:
        """How many hosts serve."""
        ports = self._registry.ports()
        first = {port % self._shards: port for port in reversed(ports)}
        states = await asyncio.gather(*(self._agents.check("", port) for port in first.values()))
        serving = states.count(HealthState.SERVING)
        return Component("agent_hosts", serving > 0, f"{serving} of {len(first)} hosts serving")
