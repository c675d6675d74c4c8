"""The ports of a local stack: which they are, whether they are free, and who has them."""

import errno
import random
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import psutil

from deploy.local.errors import LaunchError

LAST_PORT = 65_535
MAX_SHARDS = 64
MAX_REPLICAS = 8
ORCHESTRATOR = 50_051
MAX_OFFSET = LAST_PORT - ORCHESTRATOR - MAX_REPLICAS + 1
SUGGESTED_OFFSETS = (10_000, 2000, 4000, 6000, 12_000, 14_000)
# With these no port of a stack lies among the kernel's ephemeral ones (32768 to 60999): only the orchestrator's is above them.
UNDISTURBED_OFFSETS = range(11_000, MAX_OFFSET + 1, 100)
# Of those as many as go beside each other.
ALIGNED_OFFSETS = (11_000, 12_800, 14_600)
# Here the orchestrator's lies among them, where a connection may take it while it is down for a moment.
OTHER_OFFSETS = range(3000, 11_000, 100)
BLOCK = 100
# Where no stack of a test ever lies.
SINGLE_PORTS = range(2_000, 7_900)
_claimed: set[int] = set()
_own_blocks: set[int] = set()
_for_good = ExitStack()


@dataclass(frozen=True)
class LocalPorts:
    """Every port of one stack. Those of PostgreSQL, Redis, Kafka and the simulator lie where no agent ever is."""

    offset: int
    gateway: int
    envoy_admin: int
    orchestrators: tuple[int, ...]
    orchestrator_metrics: tuple[int, ...]
    worker_metrics: tuple[int, ...]
    agent_metrics: tuple[int, ...]
    """One for each agent host."""
    postgres: int
    redis: int
    simulator: int
    kafka: int
    kafka_controller: int
    agents: range

    @classmethod
    def at(cls, offset: int, shards: int = 1, orchestrators: int = 1, workers: int = 1) -> "LocalPorts":
        """The ports of the stack that is moved by `offset`. LaunchError for numbers that cannot be."""
        if not 0 <= offset <= MAX_OFFSET:
            raise LaunchError(
                f"PORT_OFFSET={offset} cannot be: it is added to every port, and those of orchestrators, from {ORCHESTRATOR} on, must not "
                f"pass {LAST_PORT}. Use 0 to {MAX_OFFSET}"
            )
        if not 1 <= shards <= MAX_SHARDS:
            raise LaunchError(f"SHARDS={shards} cannot be: use 1 to {MAX_SHARDS} agent hosts; one per core is plenty")
        for name, number in (("orchestrators", orchestrators), ("workers", workers)):
            if not 1 <= number <= MAX_REPLICAS:
                raise LaunchError(f"{number} {name} cannot be: use 1 to {MAX_REPLICAS}")
        return cls(
            offset=offset,
            gateway=offset + 8000,
            envoy_admin=offset + 9901,
            orchestrators=tuple(offset + ORCHESTRATOR + number for number in range(orchestrators)),
            orchestrator_metrics=(offset + 9464, *(offset + 9540 + number for number in range(1, orchestrators))),
            worker_metrics=(offset + 9465, *(offset + 9550 + number for number in range(1, workers))),
            agent_metrics=tuple(offset + 9466 + shard for shard in range(shards)),
            postgres=offset + 15_432,
            redis=offset + 16_379,
            simulator=offset + 17_100,
            kafka=offset + 17_150,
            kafka_controller=offset + 17_151,
            agents=range(offset + 8200, offset + 9000),
        )

    @property
    def orchestrator(self) -> int:
        """The first orchestrator's."""
        return self.orchestrators[0]

    @property
    def main(self) -> dict[str, int]:
        """The ports without which there is no stack, by what uses them. An agent's port is not among them."""
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
            **{f"metrics of agent host {shard}": port for shard, port in enumerate(self.agent_metrics)},
        }

    @property
    def every(self) -> frozenset[int]:
        """All of them."""
        return frozenset((*self.main.values(), *self.agents))

    def refuse_taken(self) -> None:
        """LaunchError about the first main port that somebody else listens on, with a way out."""
        for user, port in self.main.items():
            if not is_free(port):
                offset = next((other for other in SUGGESTED_OFFSETS if other != self.offset and _all_free(other)), SUGGESTED_OFFSETS[0])
                raise LaunchError(f"port {port} ({user}) is taken by {who_has(port)}: stop it, or run `make up PORT_OFFSET={offset}`")


def any_free_port() -> int:
    """A port that nobody uses now, and that is this process's until it ends. The kernel gives none of these to clients."""
    port = next((port for port in reversed(SINGLE_PORTS) if claim((port,))), None)
    if port is None:
        raise LaunchError(f"no port from {SINGLE_PORTS.start} to {SINGLE_PORTS.stop - 1} is free")
    return port


def claim(ports: Iterable[int]) -> bool:
    """Takes ports for this process until it ends: whether all were free, and nobody else and no earlier claim had any of them.

    The hundreds in which they lie are kept from all other processes, which find theirs the same way.
    """
    wanted = frozenset(ports)
    with ExitStack() as reservation:
        new = {port // BLOCK for port in wanted} - _own_blocks
        if wanted & _claimed or not all(_reserve(block, reservation) for block in new) or not all(map(is_free, wanted)):
            return False
        _claimed.update(wanted)
        _own_blocks.update(new)
        _for_good.push(reservation.pop_all())
    return True


def is_free(port: int) -> bool:
    """Whether a server could listen on the port, on either address that `localhost` stands for."""
    return _can_bind(socket.AF_INET, "127.0.0.1", port) and _can_bind(socket.AF_INET6, "::1", port)


def who_has(port: int) -> str:
    """The program that listens on a port, as far as the kernel tells us."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections(kind="tcp"):
            listens_here = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listens_here and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "a program of another user"


@contextmanager
def free_port_offset(orchestrators: int = 1, workers: int = 1) -> Iterator[int]:
    """Lends an offset at which every port is free, the agents' included; nobody else on the machine borrows it meanwhile.

    The reservation is a set of abstract Unix sockets, one for each hundred ports: they vanish with the process. The
    ports of the plain stack are left to it, whether it runs or not.
    """
    plain = {port // BLOCK for port in LocalPorts.at(0).every}
    for offset in (*random.sample(ALIGNED_OFFSETS, len(ALIGNED_OFFSETS)), *UNDISTURBED_OFFSETS, *OTHER_OFFSETS):
        with ExitStack() as reservation:
            ports = LocalPorts.at(offset, 1, orchestrators, workers).every
            wanted = {port // BLOCK for port in ports}
            if not wanted & plain and all(_reserve(block, reservation) for block in wanted) and all(map(is_free, ports)):
                yield offset
                return
    raise LaunchError("no offset is left at which all the ports of a stack are free: stop another stack")


def _all_free(offset: int) -> bool:
    return all(map(is_free, LocalPorts.at(offset).every))


def _numbered(user: str, ports: tuple[int, ...]) -> dict[str, int]:
    return {f"{user} {number}" if number else user: port for number, port in enumerate(ports)}


def _reserve(block: int, reservation: ExitStack) -> bool:
    flag = reservation.enter_context(socket.socket(socket.AF_UNIX))
    try:
        flag.bind(f"\0agentmesh-ports-{block}")
    except OSError:
        return False
    return True


def _can_bind(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        with socket.socket(family) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
    except OSError as error:
        # Without IPv6 there is nobody to be in the way.
        return error.errno != errno.EADDRINUSE
    return True
