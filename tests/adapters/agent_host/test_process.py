"""The process: shards, ports in use, invalid settings, and how it stops."""

import asyncio
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from mesh.rpc.acceptance import WANTED
from mesh.rpc.status import error_of
from tests.adapters.agent_host.conftest import read
from tests.adapters.agent_host.running import Host, agent_id, free_offset, running_host, start_host, write_agent
from tests.adapters.simulator.conftest import Simulator
from tests.support.call_tokens import PUBLIC_KEY
from tests.support.waiting import eventually

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
DEAD = "http://127.0.0.1:1"


@dataclass(frozen=True)
class Shards:
    """Two hosts that share the ports; one port of the first is in use. Their provider is down."""

    even: Host
    odd: Host
    definitions: Path
    taken: socket.socket


@pytest.fixture(scope="module")
async def shards(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shards]:
    folder = tmp_path_factory.mktemp("shards")
    definitions = folder / "definitions"
    definitions.mkdir()
    numbers = (1, 2, 3, 4, 6, 802)
    offset = free_offset(numbers)
    for number in set(numbers) - {6}:
        write_agent(definitions, number)
    async with AsyncExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 8202 + offset)))
        hosts = []
        for shard in ("0", "1"):
            (folder / shard).mkdir()
            running = running_host(folder / shard, definitions, DEAD, offset=offset, AGENT_SHARD=shard, AGENT_SHARDS="2")
            hosts.append(await stack.enter_async_context(running))
        yield Shards(hosts[0], hosts[1], definitions, taken)


async def test_shards_serve_disjoint_ports_and_a_port_in_use_disables_only_its_agents(shards: Shards) -> None:
    port = shards.even.port(2)
    disabled = [
        {
            "port": port,
            "why": "another program listens on the port; stop it, or shift all ports with PORT_OFFSET",
            "agents": [agent_id(2), agent_id(802)],
        }
    ]
    assert shards.even.facts == {"agents": 1, "ports": 1, "disabled": disabled}
    assert shards.odd.facts == {"agents": 2, "ports": 2, "disabled": []}
    assert await shards.even.serves(4)
    assert await shards.odd.serves(1)
    assert await shards.odd.serves(3)
    assert any(line["event"] == "port_taken" and line["port"] == port for line in shards.even.logged())


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
async def test_an_unreachable_provider_is_a_retryable_llm_api_error_and_buys_nothing(shards: Shards, streaming: bool) -> None:
    stub = shards.odd.stub(1)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await (stub.StreamExecute(pb.StreamExecuteRequest(input="x")).read() if streaming else stub.Execute(pb.ExecuteRequest(input="x")))
    error = error_of(failed.value)
    assert error is not None
    assert (error.reason, error.retryable, error.details) == ("LLM_API_ERROR", True, {})
    assert "cannot be reached" in error.message


async def test_a_port_that_becomes_free_opens_with_the_next_change_of_the_definitions(shards: Shards) -> None:
    shards.taken.close()
    write_agent(shards.definitions, 6)
    await eventually(lambda: shards.even.serves(802))
    assert await shards.even.serves(2)
    assert await shards.even.serves(6)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_sigterm_drains_the_host_with_not_serving_first_and_finishes_calls_in_progress(
    tmp_path: Path, definitions: Path, simulator: Simulator, number: signal.Signals
) -> None:
    write_agent(definitions, 1)
    call = uuid.uuid4().hex
    await simulator.fault("delay", 1_500, input_contains=call)
    async with running_host(tmp_path, definitions, simulator.url, numbers=[1], DRAIN_NOTICE_SECONDS="0.3") as host:
        whole = asyncio.ensure_future(host.stub(1).Execute(pb.ExecuteRequest(input=call, execution_id=call)))
        stream = asyncio.ensure_future(read(host.stub(1).StreamExecute(pb.StreamExecuteRequest(input=call, execution_id=call))))
        watch = aiter(HealthStub(host.channel(1)).Watch(HealthCheckRequest(service=agent_id(1))))
        assert (await anext(watch)).status == SERVING

        async def both_begun() -> bool:
            return len(await simulator.entries(call)) == 2

        await eventually(both_begun)
        host.process.send_signal(number)
        assert (await anext(watch)).status == NOT_SERVING
        assert (
            await host.stub(1).Describe(pb.DescribeRequest())
        ).agent.number == 1  # a client that has not noticed the change is still served
        assert (await whole).result
        assert (await stream).events == ["delta", "usage", "done"]
        async with asyncio.timeout(5):  # an open watch does not delay the drain
            assert await host.process.wait() == 0


async def test_a_call_that_exceeds_the_grace_period_is_aborted_and_the_process_exits(
    tmp_path: Path, definitions: Path, simulator: Simulator
) -> None:
    write_agent(definitions, 1)
    call = uuid.uuid4().hex
    await simulator.fault("hang", input_contains=call)
    async with running_host(tmp_path, definitions, simulator.url, numbers=[1], DRAIN_GRACE_SECONDS="0.2") as host:
        execute = host.stub(1).Execute(pb.ExecuteRequest(input=call, execution_id=call))
        waiting = asyncio.ensure_future(_code(execute))
        await eventually(lambda: simulator.entries(call))
        host.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            assert await host.process.wait() == 0
        assert await waiting in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert (await simulator.ended(call))["outcome"] == "client_gone"


async def test_callers_of_a_killed_host_can_tell_whether_their_call_had_begun(
    tmp_path: Path, definitions: Path, simulator: Simulator
) -> None:
    """UNAVAILABLE means that nothing was bought, unless the agent had already accepted the call."""
    write_agent(definitions, 1)
    call = uuid.uuid4().hex
    await simulator.fault("hang", input_contains=call)
    host = await start_host(tmp_path, definitions, simulator.url, free_offset([1]))
    begun = host.stub(1).Execute(pb.ExecuteRequest(input=call, execution_id=call), metadata=(WANTED,))
    waiting = asyncio.ensure_future(_code(begun))
    await eventually(lambda: simulator.entries(call))
    host.process.kill()
    assert await waiting is grpc.StatusCode.UNAVAILABLE
    assert dict(await begun.initial_metadata())["x-mesh-accepted"] == "1"
    refused = host.stub(1).Execute(pb.ExecuteRequest(input="x"), metadata=(WANTED,))
    assert await _code(refused) is grpc.StatusCode.UNAVAILABLE
    assert "x-mesh-accepted" not in dict(await refused.initial_metadata() or ())
    await host.close()
    await host.stop()


async def _code(rpc: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await rpc
    assert error_of(failed.value) is None
    return failed.value.code()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ANTHROPIC_API_KEY": ""}, "ANTHROPIC_API_KEY is not set: set it, or use `make up`, which starts a local simulator without a key"),
        ({"AGENT_SHARD": "2", "AGENT_SHARDS": "2"}, "invalid AGENT_SHARD 2: use 0 to 1"),
        (
            {"HOST_ADDRESS": "0.0.0.0"},
            "HOST_ADDRESS=0.0.0.0 is not an IPv4 loopback address: without TLS the mesh listens on loopback only",
        ),
        ({"PORT_OFFSET": "many"}, "PORT_OFFSET: "),
        ({"FAILPOINTS": "nowhere"}, "unknown failpoint 'nowhere'"),
        ({"DEFINITIONS_PATH": "/nowhere/at/all"}, "The definitions in '/nowhere/at/all' cannot be read"),
    ],
)
async def test_invalid_settings_are_reported_on_one_line(settings: dict[str, str], message: str) -> None:
    code, errors = await refusal({"ANTHROPIC_API_KEY": "key-0123456789"} | settings)
    assert code == 2
    assert errors.startswith(f"agent_server: {message}")
    assert len(errors.splitlines()) == 1
    assert "key-0123456789" not in errors


async def test_a_metrics_port_in_use_is_reported_on_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, errors = await refusal({"ANTHROPIC_API_KEY": "any", "METRICS_PORT": str(port)})
    assert code == 2
    assert errors.startswith(f"agent_server: cannot listen on METRICS_PORT {port}: ")
    assert len(errors.splitlines()) == 1


async def refusal(settings: dict[str, str]) -> tuple[int | None, str]:
    """The exit code and the output of a host that refuses to start."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agent_server",
        env={**os.environ, "CALL_TOKEN_PUBLIC_KEY": PUBLIC_KEY, **settings},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    return process.returncode, errors.decode()
