"""Hot reload: definitions change while a host serves them."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as pb
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from deploy.local.ports import is_free
from tests.adapters.agent_host.conftest import failure_of
from tests.adapters.agent_host.running import Host, agent_id, running_host, write_agent
from tests.adapters.simulator.conftest import Simulator
from tests.support.waiting import eventually

NUMBERS = (1, 2, 3, 801)
SERVING, UNKNOWN = HealthCheckResponse.SERVING, HealthCheckResponse.UNKNOWN


@dataclass(frozen=True)
class ChangingHost:
    """A host and the folder of its definitions; agents 1 and 2 exist in every test."""

    host: Host
    folder: Path

    async def revision(self, number: int) -> str:
        """The revision that the host serves now."""
        answer = await self.host.stub(number).Describe(pb.DescribeRequest(agent_id=agent_id(number)))
        return answer.agent.revision


@pytest.fixture(scope="module")
async def changing(tmp_path_factory: pytest.TempPathFactory, provider: Simulator) -> AsyncIterator[ChangingHost]:
    folder = tmp_path_factory.mktemp("changing")
    definitions = folder / "definitions"
    definitions.mkdir()
    for number in (1, 2):
        write_agent(definitions, number)
    async with running_host(folder, definitions, provider.url, NUMBERS) as host:
        yield ChangingHost(host, definitions)


async def test_a_changed_definition_is_served_with_a_new_revision_and_the_others_are_unchanged(changing: ChangingHost) -> None:
    before, other = await changing.revision(1), await changing.revision(2)
    write_agent(changing.folder, 1, focus="You know coffee.")

    async def changed() -> bool:
        return await changing.revision(1) != before

    await eventually(changed)
    assert await changing.revision(2) == other


async def test_an_invalid_definition_is_reported_and_the_previous_one_keeps_serving(changing: ChangingHost) -> None:
    before = await changing.revision(2)
    (changing.folder / "helper_2.yaml").write_text("category: [own\n")

    async def reported() -> bool:
        return any(line["event"] == "definition_refused" and "helper_2.yaml" in line["source"] for line in changing.host.logged())

    await eventually(reported)
    assert await changing.revision(2) == before
    write_agent(changing.folder, 2, focus="You are whole again.")

    async def is_corrected() -> bool:
        return await changing.revision(2) != before

    await eventually(is_corrected)


async def test_the_port_of_a_new_agent_opens_and_that_of_a_removed_one_closes(changing: ChangingHost) -> None:
    assert await changing.host.health(3) == UNKNOWN
    path = write_agent(changing.folder, 3)
    await eventually(lambda: changing.host.serves(3))
    assert (await changing.host.stub(3).Describe(pb.DescribeRequest())).agent.number == 3
    path.unlink()

    async def closed() -> bool:
        return is_free(changing.host.port(3))

    await eventually(closed)
    assert await changing.host.serves(1)


async def test_a_health_watcher_sees_an_agent_added_to_its_port_and_removed_again(changing: ChangingHost) -> None:
    watch = HealthStub(changing.host.channel(1)).Watch(HealthCheckRequest(service=agent_id(801)))

    async def state() -> int:
        answer = await watch.read()
        assert isinstance(answer, HealthCheckResponse)
        return int(answer.status)

    assert await state() == HealthCheckResponse.SERVICE_UNKNOWN
    path = write_agent(changing.folder, 801)
    assert await state() == SERVING
    error = await failure_of(changing.host.stub(1).Describe(pb.DescribeRequest()))
    assert error.reason == "VALIDATION_ERROR"
    path.unlink()
    assert await state() == HealthCheckResponse.SERVICE_UNKNOWN
    assert (await changing.host.stub(1).Describe(pb.DescribeRequest())).agent.number == 1
    watch.cancel()


async def test_a_health_watcher_of_a_closing_port_receives_not_serving_and_the_watch_ends(changing: ChangingHost) -> None:
    path = write_agent(changing.folder, 3)
    await eventually(lambda: changing.host.serves(3))
    watch = HealthStub(changing.host.channel(3)).Watch(HealthCheckRequest(service=agent_id(3)))
    answers = aiter(watch)
    assert (await anext(answers)).status == SERVING
    path.unlink()
    assert [answer.status async for answer in answers] == [HealthCheckResponse.NOT_SERVING]


async def test_a_call_in_progress_completes_although_its_agent_is_removed_and_the_port_reopens(
    changing: ChangingHost, simulator: Simulator
) -> None:
    path = write_agent(changing.folder, 3)
    await eventually(lambda: changing.host.serves(3))
    call = uuid.uuid4().hex
    await simulator.fault("delay", 12_000, input_contains=call)
    answer = asyncio.ensure_future(changing.host.stub(3).Execute(pb.ExecuteRequest(input=call, execution_id=call)))
    await eventually(lambda: simulator.entries(call))
    path.unlink()

    async def closed() -> bool:
        return is_free(changing.host.port(3))

    await eventually(closed)
    write_agent(changing.folder, 3)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{changing.host.port(3)}") as other:
        health: HealthCheckResponse = await HealthStub(other).Check(HealthCheckRequest(), wait_for_ready=True)
        assert health.status == SERVING
    assert not answer.done()
    assert (await answer).result
