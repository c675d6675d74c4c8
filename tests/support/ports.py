"""Free ports for tests that run in parallel, in any number of processes."""

import random
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from deploy.local.ports import MAX_OFFSET, LocalPorts, is_free

# At these offsets only the orchestrator's port is above the kernel's ephemeral ports (32768 to 60999), and no other port is among them.
UNDISTURBED_OFFSETS = range(11_000, MAX_OFFSET + 1, 100)
ALIGNED_OFFSETS = (11_000, 12_800, 14_600)
"""As many of these offsets as fit without overlapping."""
OTHER_OFFSETS = range(3000, 11_000, 100)
"""Here the orchestrator's port is ephemeral: a client may take it while the orchestrator restarts."""
BLOCK = 100
SINGLE_PORTS = range(2_000, 7_900)
"""No stack that a test starts uses these."""
_claimed: set[int] = set()
_own_blocks: set[int] = set()
_until_exit = ExitStack()


class NoFreePort(Exception):
    """Every port that tests may use is taken."""


def any_free_port() -> int:
    """A free port, reserved for this process until it exits. The kernel never assigns these ports to clients."""
    port = next((port for port in reversed(SINGLE_PORTS) if claim((port,))), None)
    if port is None:
        raise NoFreePort(f"no port from {SINGLE_PORTS.start} to {SINGLE_PORTS.stop - 1} is free")
    return port


def claim(ports: Iterable[int]) -> bool:
    """Claim ports for this process until it exits. Returns False if one of them is in use or already claimed.

    Ports are claimed in blocks of a hundred, so that other processes, which claim theirs the same way, avoid the whole block.
    """
    wanted = frozenset(ports)
    with ExitStack() as reservation:
        new = {port // BLOCK for port in wanted} - _own_blocks
        if wanted & _claimed or not all(_reserve(block, reservation) for block in new) or not all(map(is_free, wanted)):
            return False
        _claimed.update(wanted)
        _own_blocks.update(new)
        _until_exit.push(reservation.pop_all())
    return True


@contextmanager
def free_port_offset(orchestrators: int = 1, workers: int = 1) -> Iterator[int]:
    """Lend an offset at which every port of a stack is free. No other test process gets it in the meantime.

    A reservation is an abstract Unix socket for each block of a hundred ports; it disappears with the process. The ports of a stack
    without an offset are never lent, whether it runs or not.
    """
    plain = {port // BLOCK for port in LocalPorts.at(0).every}
    for offset in (*random.sample(ALIGNED_OFFSETS, len(ALIGNED_OFFSETS)), *UNDISTURBED_OFFSETS, *OTHER_OFFSETS):
        with ExitStack() as reservation:
            ports = LocalPorts.at(offset, 1, orchestrators, workers).every
            wanted = {port // BLOCK for port in ports}
            if not wanted & plain and all(_reserve(block, reservation) for block in wanted) and all(map(is_free, ports)):
                yield offset
                return
    raise NoFreePort("no port offset is left at which all ports of a stack are free; stop another stack")


def _reserve(block: int, reservation: ExitStack) -> bool:
    flag = reservation.enter_context(socket.socket(socket.AF_UNIX))
    try:
        flag.bind(f"\0agentmesh-ports-{block}")
    except OSError:
        return False
    return True
