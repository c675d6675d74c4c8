"""Every background task of every process: if it dies, the process logs it, drains and fails."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mesh.process import RunningProcess
from mesh.tasks import BackgroundTasks
from orchestrator.composition.consumer_settings import ConsumerSettings
from orchestrator.composition.settings import OrchestratorSettings
from orchestrator.composition.worker_settings import WorkerSettings
from orchestrator.processes import consumer, orchestrator, worker
from tests.adapters.agent_host.running import write_agent
from tests.support.call_tokens import PRIVATE_KEY
from tests.support.ports import any_free_port
from tests.support.waiting import eventually

CALLING = ("catalogue", "denial log", "execution leases", "execution sweeper", "group commit", "notifications in", "notifications out")
TASKS = {
    "orchestrator": (
        *CALLING,
        *(
            "event log",
            "identity upkeep",
            "limits in Redis",
            "live texts",
            "measured agents",
            "outbox relay",
            "outbox upkeep",
            "retention",
            "revocations",
            "wakeups out",
            "watched runs",
        ),
    ),
    "worker": (
        *CALLING,
        *(
            "limits in Redis",
            "live texts",
            "ready steps",
            "step claims",
            "step lease expiry",
            "step leases",
            "step recovery",
            "stopped steps",
            "usage rollup",
            "wakeups in",
            "wakeups out",
        ),
    ),
    "consumer": ("consumer upkeep", "event consumer"),
}
"""The tasks that each process starts. Add new tasks here: these tests check that their death is reported."""
URGENT = ("execution leases", "step leases", "step lease expiry")

Start = Callable[[RunningProcess], Awaitable[None]]


@pytest.fixture
def programs(migrated_url: str, redis_url: str, tmp_path: Path) -> dict[str, Start]:
    """The main coroutine of each process, with real servers."""
    write_agent(tmp_path, 1)
    common: dict[str, Any] = {"database_url": migrated_url, "definitions_path": tmp_path, "drain_grace_seconds": 1}
    calling = {**common, "redis_url": redis_url, "call_token_private_key": PRIVATE_KEY, "db_pool_size": 2}
    secret = "Xk8vQ2m-Zr5tYw1p_Lb9cNd7gHs3jUf6aEo0iTq4"
    served = OrchestratorSettings(**calling, orchestrator_port=0, drain_notice_seconds=0, jwt_secret=secret, bcrypt_rounds=4)
    consuming = ConsumerSettings(**common, kafka_bootstrap_servers=f"127.0.0.1:{any_free_port()}")
    return {
        "orchestrator": lambda process: orchestrator.run(served, process),
        "worker": lambda process: worker.run(WorkerSettings(**calling), process),
        "consumer": lambda process: consumer.run(consuming, process),
    }


class Running:
    """One process, run as an asyncio task of this one."""

    def __init__(self, start: Start, ready_file: Path) -> None:
        self._before = asyncio.all_tasks()
        self.tasks = BackgroundTasks()
        self.ready_file = ready_file
        self.main = asyncio.ensure_future(start(RunningProcess(self.tasks, ready_file=ready_file)))

    def named(self) -> dict[str, "asyncio.Task[Any]"]:
        """The tasks that the process has named. Those of gRPC serve a call, such as a health check of another test's Envoy."""
        new = {task.get_name(): task for task in asyncio.all_tasks() - self._before}
        return {name: task for name, task in new.items() if not name.startswith(("Task-", "rpc_task", "HandleExceptions["))}

    async def started(self, names: tuple[str, ...]) -> None:
        async def all_there() -> bool:
            if self.main.done():
                await self.main
            return self.ready_file.exists() and {*names} <= {*self.named()}

        await eventually(all_there)


@pytest.mark.parametrize("program", TASKS)
async def test_the_list_of_tasks_is_complete(program: str, programs: dict[str, Start], tmp_path: Path) -> None:
    running = Running(programs[program], tmp_path / "ready.json")
    await running.started(TASKS[program])
    assert sorted(running.named()) == sorted(TASKS[program])
    running.tasks.stopping.set()
    await asyncio.wait_for(running.main, 20)
    assert running.tasks.failure is None
    assert running.named() == {}


@pytest.mark.parametrize(("program", "name"), [(program, name) for program, names in TASKS.items() for name in names])
async def test_a_dead_task_stops_its_process(program: str, name: str, programs: dict[str, Start], tmp_path: Path) -> None:
    running = Running(programs[program], tmp_path / "ready.json")
    await running.started((name,))
    with capture_logs() as lines:
        running.named()[name].cancel()
        await asyncio.wait_for(running.main, 20)
    assert running.tasks.failure is not None
    assert (running.tasks.failure.name, running.tasks.failure.urgent) == (name, name in URGENT)
    assert [line["task"] for line in lines if line["event"] == "task_ended_unexpectedly"] == [name]
    assert running.named() == {}
