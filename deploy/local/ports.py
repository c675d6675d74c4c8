"""The ports of a local stack: their numbers, whether they are free, and which program uses them."""

import errno
import socket
from contextlib import suppress
from dataclasses import dataclass

import psutil

from deploy.local.errors import LaunchError

LAST_PORT = 65_535
MAX_SHARDS = 64
MAX_REPLICAS = 8
ORCHESTRATOR = 50_051
MAX_OFFSET = LAST_PORT - ORCHESTRATOR - MAX_REPLICAS + 1
SUGGESTED_OFFSETS = (10_000, 2000, 4000, 6000, 12_000, 14_000)


@dataclass(frozen=True)
class LocalPorts:
    """Every port of one stack. The ports of PostgreSQL, Redis, Kafka and the simulator are outside of the agents' range."""

    offset: int
    gateway: int
    envoy_admin: int
    orchestrators: tuple[int, ...]
    orchestrator_metrics: tuple[int, ...]
    worker_metrics: tuple[int, ...]
    agent_metrics: tuple[int, ...]
    """One port for each agent host."""
    consumer_metrics: int
    postgres: int
    redis: int
    simulator: int
    kafka: int
    kafka_controller: int
    agents: range

    @classmethod
    def at(cls, offset: int, shards: int = 1, orchestrators: int = 1, workers: int = 1) -> "LocalPorts":
        """The ports of the stack at that offset. Raises LaunchError for a number out of range."""
        if not 0 <= offset <= MAX_OFFSET:
            raise LaunchError(
                f"invalid PORT_OFFSET {offset}: use 0 to {MAX_OFFSET}; it is added to every port, and the highest is {LAST_PORT}"
            )
        if not 1 <= shards <= MAX_SHARDS:
            raise LaunchError(f"invalid SHARDS {shards}: use 1 to {MAX_SHARDS} agent hosts; more than one per core does not help")
        for name, number in (("orchestrators", orchestrators), ("workers", workers)):
            if not 1 <= number <= MAX_REPLICAS:
                raise LaunchError(f"invalid number of {name} {number}: use 1 to {MAX_REPLICAS}")
        return cls(
            offset=offset,
            gateway=offset + 8000,
            envoy_admin=offset + 9901,
            orchestrators=tuple(offset + ORCHESTRATOR + number for number in range(orchestrators)),
            orchestrator_metrics=(offset + 9464, *(offset + 9540 + number for number in range(1, orchestrators))),
            worker_metrics=(offset + 9465, *(offset + 9550 + number for number in range(1, workers))),
            agent_metrics=tuple(offset + 9466 + shard for shard in range(shards)),
            consumer_metrics=offset + 9530,
            postgres=offset + 15_432,
            redis=offset + 16_379,
            simulator=offset + 17_100,
            kafka=offset + 17_150,
            kafka_controller=offset + 17_151,
            agents=range(offset + 8200, offset + 9000),
        )

    @property
    def orchestrator(self) -> int:
        """The port of the first orchestrator."""
        return self.orchestrators[0]

    @property
    def main(self) -> dict[str, int]:
        """The ports that the stack cannot do without, by the program that uses them. The agents' ports are not among them."""
        return {
            "gateway": self.gateway,
            "Envoy admin": self.envoy_admin,
            **_numbered("orchestrator", self.orchestrators),
            "PostgreSQL": self.postgres,
            "Redis": self.redis,
            "simulator": self.simulator,
            "Kafka": self.kafka,
            "Kafka controller": self.kafka_controller,
            **_numbered("orchestrator metrics", self.orchestrator_metrics),
            **_numbered("worker metrics", self.worker_metrics),
            "consumer metrics": self.consumer_metrics,
            **{f"metrics of agent host {shard}": port for shard, port in enumerate(self.agent_metrics)},
        }

    @property
    def every(self) -> frozenset[int]:
        """All ports, the agents' included."""
        return frozenset((*self.main.values(), *self.agents))

    def refuse_taken(self) -> None:
        """Raises LaunchError if another program listens on a main port; the message suggests an offset that is free."""
        for user, port in self.main.items():
            if not is_free(port):
                offset = next((other for other in SUGGESTED_OFFSETS if other != self.offset and _all_free(other)), SUGGESTED_OFFSETS[0])
                raise LaunchError(
                    f"port {port} ({user}) is in use by {who_has(port)}: stop that program, or run `make up PORT_OFFSET={offset}`"
                )


def is_free(port: int) -> bool:
    """Whether a server could listen on the port on 127.0.0.1 and ::1."""
    return _can_bind(socket.AF_INET, "127.0.0.1", port) and _can_bind(socket.AF_INET6, "::1", port)


def who_has(port: int) -> str:
    """The name and id of the program that listens on a port, if the kernel shows it to this user."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections(kind="tcp"):
            listens_here = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listens_here and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "a program of another user"


def _all_free(offset: int) -> bool:
    return all(map(is_free, LocalPorts.at(offset).every))


def _numbered(user: str, ports: tuple[int, ...]) -> dict[str, int]:
    return {f"{user} {number}" if number else user: port for number, port in enumerate(ports)}


def _can_bind(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        with socket.socket(family) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
    except OSError as error:
        # Without IPv6, no program can have the port.
        return error.errno != errno.EADDRINUSE
    return True
