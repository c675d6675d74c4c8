"""Opens one gRPC server per port of this shard, and changes them with the catalogue.

A handler cannot find out the port on which it was called. With a server and a servicer for each port it knows, and a port can be opened
when a definition is added.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc
import structlog
from agentmesh.agent.v1 import agent_service_pb2
from agentmesh.agent.v1.agent_service_pb2_grpc import add_AgentServiceServicer_to_server

from agent_server.hosting.audience import Audience
from agent_server.hosting.calls import CallsInProgress
from agent_server.hosting.servicer import LONGEST_CALL_SECONDS, AgentServicer
from agent_server.model.ports import Model
from agent_server.turn.agent import Directory
from catalogue.catalogue import Catalogue
from catalogue.model import FIRST_PORT
from mesh.rpc.serving.server import DEFAULT_CONNECTIONS, ConnectionLimits, Health, add_reflection, build_server, drain, listen
from mesh.security.tls import ServerTls
from mesh.tasks import BackgroundTasks

log = structlog.get_logger()

Interceptors = Callable[[Audience], Sequence[grpc.aio.ServerInterceptor]]
"""Builds the interceptors of one port from its audience."""

SERVICE = agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"].full_name


@dataclass(frozen=True, slots=True)
class Address:
    """The address on which this host listens, and its share of the ports."""

    host: str
    offset: int
    shard: int
    shards: int
    tls: ServerTls | None = None
    """None for plaintext."""
    connections: ConnectionLimits = DEFAULT_CONNECTIONS
    """Of each port."""

    def owns(self, port: int) -> bool:
        """Whether this shard serves the port."""
        return (port - self.offset - FIRST_PORT) % self.shards == self.shard


@dataclass(slots=True)
class _Port:
    server: grpc.aio.Server
    health: Health
    agent_ids: frozenset[str]


class AgentHost:
    """The open ports of one shard. A port that cannot be opened disables its agents and is tried again at each change of the catalogue."""

    def __init__(
        self,
        address: Address,
        directory: Directory,
        model: Model,
        provider: str,
        interceptors: Interceptors,
        tasks: BackgroundTasks,
    ) -> None:
        self._tasks = tasks
        self._address = address
        self._directory = directory
        self._model = model
        self._provider = provider
        self._interceptors = interceptors
        self._calls = CallsInProgress()
        self._open: dict[int, _Port] = {}
        self._closing: dict[asyncio.Task[None], _Port] = {}
        self.disabled: dict[int, str] = {}
        """The ports that could not be opened, with the reason."""

    @property
    def ports(self) -> Sequence[int]:
        """The open ports in ascending order."""
        return sorted(self._open)

    @property
    def agent_count(self) -> int:
        """The number of agents that are served."""
        return sum(len(port.agent_ids) for port in self._open.values())

    async def serve(self, catalogue: Catalogue) -> None:
        """Serves exactly the agents of `catalogue` that belong to this shard. Opens, changes and closes ports as needed."""
        wanted = self._wanted(catalogue)
        self._directory.renew(catalogue)
        for port in self._open.keys() - wanted.keys():
            self._close(self._open.pop(port))
        await asyncio.gather(*(self._update_port(port, agent_ids) for port, agent_ids in wanted.items()))
        for opened in self._open.values():  # the host as a whole is serving only now, whichever port is asked
            await opened.health.set("", serving=True)
        self.disabled = {port: why for port, why in self.disabled.items() if port in wanted}

    def disabled_agents(self) -> list[dict[str, object]]:
        """The agents whose port could not be opened, for the ready file and the log."""
        offset = self._address.offset
        return [
            {"port": port, "why": why, "agents": [agent.agent_id for agent in self._directory.catalogue.on_port(port, offset)]}
            for port, why in sorted(self.disabled.items())
        ]

    async def stop(self, notice_seconds: float, grace_seconds: float) -> None:
        ports = [*self._open.values(), *self._closing.values()]
        await drain([p.server for p in ports], [p.health for p in ports], notice_seconds=notice_seconds, grace_seconds=grace_seconds)
        await self._tasks.stop(*self._closing)  # their servers have stopped

    def _close(self, port: _Port) -> None:
        # Its calls in progress have been bought and may finish. The new catalogue does not wait for them.
        draining = drain([port.server], [port.health], notice_seconds=0, grace_seconds=LONGEST_CALL_SECONDS)
        task = self._tasks.start_once("closed port", draining)
        self._closing[task] = port
        task.add_done_callback(self._closing.pop)

    def _wanted(self, catalogue: Catalogue) -> dict[int, frozenset[str]]:
        wanted: dict[int, set[str]] = {}
        for agent in catalogue.agents:
            port = agent.port(self._address.offset)
            if self._address.owns(port):
                wanted.setdefault(port, set()).add(agent.agent_id)
        return {port: frozenset(agent_ids) for port, agent_ids in wanted.items()}

    async def _update_port(self, port: int, agent_ids: frozenset[str]) -> None:
        if (open_port := self._open.get(port)) is None:
            await self._try_to_open(port, agent_ids)
            return
        for agent_id in open_port.agent_ids - agent_ids:
            await open_port.health.forget(agent_id)
        for agent_id in agent_ids - open_port.agent_ids:
            await open_port.health.set(agent_id, serving=True)
        open_port.agent_ids = agent_ids

    async def _try_to_open(self, port: int, agent_ids: frozenset[str]) -> None:
        server = build_server(self._interceptors(Audience(port, self._directory, self._calls)), connections=self._address.connections)
        servicer = AgentServicer(port, self._directory, self._calls, self._model, self._provider)
        add_AgentServiceServicer_to_server(servicer, server)
        add_reflection(server, [SERVICE])
        health = Health(server)
        try:
            listen(server, self._address.host, port, self._address.tls)
        except RuntimeError:
            self.disabled[port] = "another program listens on the port; stop it, or shift all ports with PORT_OFFSET"
            log.warning("port_taken", port=port, agents=sorted(agent_ids))
            return
        for name in (SERVICE, *agent_ids):
            await health.set(name, serving=True)
        await server.start()
        self.disabled.pop(port, None)
        self._open[port] = _Port(server, health, agent_ids)
