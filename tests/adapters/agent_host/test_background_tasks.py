"""The tasks of an agent host: if one dies, the host reports it and stops."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent_server.composition import run
from agent_server.hosting.host import Address, AgentHost
from agent_server.hosting.settings import AgentHostSettings
from agent_server.providers.anthropic.messages import AnthropicModel
from agent_server.turn.agent import Directory
from catalogue.catalogue import Catalogue
from catalogue.files.reader import read
from catalogue.pricing.model_names import ModelNames
from catalogue.pricing.prices import PriceBook
from mesh.process import RunningProcess
from mesh.tasks import BackgroundTasks
from tests.adapters.agent_host.running import free_offset, write_agent
from tests.support.call_tokens import PUBLIC_KEY
from tests.support.waiting import eventually


def named(name: str) -> "list[asyncio.Task[Any]]":
    return [task for task in asyncio.all_tasks() if task.get_name() == name]


async def test_a_host_that_no_longer_follows_the_catalogue_stops(tmp_path: Path) -> None:
    write_agent(tmp_path, 1)
    settings: dict[str, Any] = {"definitions_path": tmp_path, "port_offset": free_offset([1]), "call_token_public_key": PUBLIC_KEY}
    tasks, ready = BackgroundTasks(), tmp_path / "ready.json"
    host = AgentHostSettings(**settings, anthropic_api_key="any", drain_notice_seconds=0, drain_grace_seconds=1)
    running = asyncio.create_task(run(host, RunningProcess(tasks, ready_file=ready)))
    await eventually(lambda: ready.exists() or running.done())
    [following] = named("catalogue")
    with capture_logs() as lines:
        following.cancel()
        await asyncio.wait_for(running, 20)
    assert tasks.failure is not None
    assert tasks.failure.name == "catalogue"
    assert [line["task"] for line in lines if line["event"] == "task_ended_unexpectedly"] == ["catalogue"]


@pytest.fixture
async def closing(tmp_path: Path) -> AsyncIterator[tuple[AgentHost, BackgroundTasks]]:
    """A host that is closing its only port."""
    write_agent(tmp_path, 1)
    catalogue, offset, tasks = read(tmp_path), free_offset([1]), BackgroundTasks()
    directory = Directory(catalogue, offset, ModelNames(PriceBook.load(), "claude-sonnet-5-5"))
    async with AnthropicModel("any", "http://127.0.0.1:1") as model:
        host = AgentHost(Address("127.0.0.1", offset, 0, 1), directory, model, "simulator", lambda _: (), tasks)
        await host.serve(catalogue)
        await host.serve(Catalogue())
        yield host, tasks


async def test_a_host_whose_closed_port_is_no_longer_drained_stops(closing: tuple[AgentHost, BackgroundTasks]) -> None:
    """The port would stay open and serve agents that were removed."""
    host, tasks = closing
    [draining] = named("closed port")
    draining.cancel()
    await asyncio.wait_for(tasks.stopping.wait(), 5)
    await host.stop(0, 0)
    assert tasks.failure is not None
    assert tasks.failure.name == "closed port"


async def test_a_host_that_stops_while_a_closed_port_drains_has_not_failed(closing: tuple[AgentHost, BackgroundTasks]) -> None:
    host, tasks = closing
    await host.stop(0, 0)
    assert not named("closed port")
    assert tasks.failure is None
