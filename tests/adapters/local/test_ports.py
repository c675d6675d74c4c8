"""The ports of a stack: their ranges, and the error when one is in use."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from deploy.local.errors import LaunchError
from deploy.local.ports import MAX_OFFSET, MAX_REPLICAS, LocalPorts, is_free
from tests.support.ports import (
    ALIGNED_OFFSETS,
    BLOCK,
    OTHER_OFFSETS,
    SINGLE_PORTS,
    UNDISTURBED_OFFSETS,
    NoFreePort,
    any_free_port,
    claim,
    free_port_offset,
)
from tests.support.waiting import eventually


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.create_server(("127.0.0.1", any_free_port())) as server:
        yield server.getsockname()[1]


def test_a_stack_without_offset_has_the_documented_ports() -> None:
    ports = LocalPorts.at(0, shards=2)
    assert (ports.gateway, ports.envoy_admin, ports.orchestrator) == (8000, 9901, 50051)
    assert (ports.agents[0], ports.agents[-1]) == (8200, 8999)
    assert (ports.orchestrator_metrics, ports.worker_metrics, ports.agent_metrics) == ((9464,), (9465,), (9466, 9467))


def test_more_orchestrators_and_workers_have_ports_of_their_own() -> None:
    ports = LocalPorts.at(0, shards=64, orchestrators=3, workers=2)
    assert ports.orchestrators == (50051, 50052, 50053)
    assert (ports.orchestrator_metrics, ports.worker_metrics) == ((9464, 9541, 9542), (9465, 9551))
    assert len(set(ports.main.values())) == len(ports.main)


@pytest.mark.parametrize("replicas", [{"orchestrators": 0}, {"orchestrators": 9}, {"workers": 0}, {"workers": 9}])
def test_an_invalid_number_of_replicas_is_refused(replicas: dict[str, int]) -> None:
    with pytest.raises(LaunchError, match=r"^invalid number of \w+ \d+: use 1 to 8$"):
        LocalPorts.at(0, **replicas)


def test_every_port_moves_with_the_offset() -> None:
    here, there = LocalPorts.at(0), LocalPorts.at(1000)
    assert {user: port + 1000 for user, port in here.main.items()} == there.main
    assert {port + 1000 for port in here.every} == there.every


def test_a_tests_stack_has_no_ephemeral_port() -> None:
    """The kernel's default range is 32768 to 60999; any client connection may use one of them."""
    for offset in UNDISTURBED_OFFSETS:
        assert not LocalPorts.at(offset).every & set(range(32_768, 61_000))


def test_no_agent_is_on_a_main_port() -> None:
    ports = LocalPorts.at(0, shards=64)
    assert not set(ports.main.values()) & set(ports.agents)
    assert len(set(ports.main.values())) == len(ports.main)


@pytest.mark.parametrize("offset", [-1, MAX_OFFSET + 1, 60_000])
def test_an_offset_that_is_too_large_is_refused_with_the_allowed_range(offset: int) -> None:
    with pytest.raises(LaunchError, match=rf"^invalid PORT_OFFSET {offset}: use 0 to {MAX_OFFSET};"):
        LocalPorts.at(offset)


@pytest.mark.parametrize("shards", [0, 65])
def test_an_invalid_number_of_hosts_is_refused(shards: int) -> None:
    with pytest.raises(LaunchError, match=f"^invalid SHARDS {shards}: use 1 to 64"):
        LocalPorts.at(0, shards)


def test_a_main_port_in_use_is_reported_with_its_owner_and_a_remedy() -> None:
    with free_port_offset() as offset:
        ports = LocalPorts.at(offset)
        ports.refuse_taken()
        with socket.create_server(("127.0.0.1", ports.gateway)), pytest.raises(LaunchError) as refusal:
            ports.refuse_taken()
    owner = re.escape(Path("/proc/self/comm").read_text().strip())
    expected = (
        rf"port {ports.gateway} \(gateway\) is in use by {owner} \(pid {os.getpid()}\): stop that program, or run `make up PORT_OFFSET=\d+`"
    )
    assert re.fullmatch(expected, str(refusal.value))


def test_a_port_is_in_use_on_any_address_of_localhost(taken_port: int) -> None:
    assert not is_free(taken_port)
    free = any_free_port()
    assert is_free(free)
    with socket.create_server(("", free)):
        assert not is_free(free)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_a_listener_on_the_other_localhost_address_is_a_conflict() -> None:
    """curl and grpcurl try ::1 first."""
    port = any_free_port()
    with socket.create_server(("::1", port), family=socket.AF_INET6):
        assert not is_free(port)


async def test_an_offset_is_lent_to_one_process_at_a_time() -> None:
    """The stacks of other test processes may have taken so many that no two are left for a while."""

    def compared() -> bool:
        try:
            with free_port_offset() as first, free_port_offset() as second:
                assert not LocalPorts.at(first).every & LocalPorts.at(second).every
                assert not LocalPorts.at(first).every & LocalPorts.at(0).every
                return True
        except NoFreePort:
            return False

    await eventually(compared, within=110)


def test_a_port_is_claimed_by_one_process_before_anything_listens() -> None:
    mine = {any_free_port() for _ in range(3)}
    assert len(mine) == 3
    assert not claim(mine)
    ask = f"from tests.support.ports import any_free_port, claim; print(any_free_port(), claim({mine}))"
    answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    assert int(answer[0]) not in mine
    assert answer[1] == "False"


def test_single_ports_do_not_overlap_with_any_stack() -> None:
    for offset in (0, *UNDISTURBED_OFFSETS, *OTHER_OFFSETS):
        assert not blocks(LocalPorts.at(offset).every) & blocks(SINGLE_PORTS)


def test_aligned_stacks_do_not_overlap() -> None:
    taken = [blocks(LocalPorts.at(offset, 1, MAX_REPLICAS, MAX_REPLICAS).every) for offset in ALIGNED_OFFSETS]
    assert len(frozenset().union(*taken)) == sum(map(len, taken))


def blocks(ports: Iterable[int]) -> frozenset[int]:
    """The blocks of a hundred that contain the ports, which is what a process reserves."""
    return frozenset(port // BLOCK for port in ports)
