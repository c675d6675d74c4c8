from collections import Counter

import pytest

from orchestrator.adapters.executions.agents import AgentAddresses


def test_a_single_local_host_has_every_port() -> None:
    assert AgentAddresses("127.0.0.1", 1, 0).target(8999) == "127.0.0.1:8999"


@pytest.mark.parametrize(("port", "shard"), [(8200, 0), (8201, 1), (8202, 2), (8203, 0), (8999, 1)])
def test_the_shard_is_counted_from_the_first_port(port: int, shard: int) -> None:
    assert AgentAddresses("agents-{shard}.agents", 3, 0).target(port) == f"agents-{shard}.agents:{port}"


def test_a_stack_with_an_offset_keeps_its_shards() -> None:
    here, moved = AgentAddresses("{shard}", 7, 0), AgentAddresses("{shard}", 7, 10_001)
    shards = [target.split(":")[0] for target in map(here.target, range(8200, 9000))]
    assert [target.split(":")[0] for target in map(moved.target, range(18_201, 19_001))] == shards


def test_shards_share_the_ports_evenly() -> None:
    addresses = AgentAddresses("{shard}", 4, 0)
    assert set(Counter(addresses.target(port).split(":")[0] for port in range(8200, 9000)).values()) == {200}
