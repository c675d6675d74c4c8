"""A set of programs: their order, what happens when one dies, and how they stop."""

# ruff: noqa: ASYNC240 (the files that these tests inspect are small and local)

import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.errors import LaunchError
from deploy.local.ports import LocalPorts
from deploy.local.programs import Programs, Provider
from deploy.local.state import StateFolder
from deploy.local.supervision.process import Process
from deploy.local.supervision.supervisor import Supervisor
from deploy.local.supervision.waiting import holds_within
from mesh.tasks import BackgroundTasks
from tests.support.ports import any_free_port

MakeProcess = Callable[..., Process]


async def test_programs_start_after_their_dependencies_and_stop_before_them(make_process: MakeProcess, journal: Path) -> None:
    store, service, door = make_process("store"), make_process("service", after=("store",)), make_process("door", after=("service",))
    supervisor = Supervisor([[store], [service], [door]], lambda _: None, BackgroundTasks())
    await supervisor.start()
    await supervisor.stop()
    assert journal.read_text().splitlines() == ["store up", "service up", "door up", "door down", "service down", "store down"]


async def test_a_program_that_cannot_start_is_named_and_the_others_can_be_stopped(make_process: MakeProcess, journal: Path) -> None:
    supervisor = Supervisor(
        [[make_process("store")], [make_process("service", "broken", after=("store",))]], lambda _: None, BackgroundTasks()
    )
    with pytest.raises(LaunchError, match=r"service ended with exit code 3 while it was starting[\s\S]*the cupboard is bare"):
        await supervisor.start()
    await supervisor.stop()
    assert journal.read_text().splitlines() == ["store up", "store down"]


async def test_a_dead_program_is_restarted_and_reported_on_the_screen(make_process: MakeProcess) -> None:
    messages: asyncio.Queue[str] = asyncio.Queue()
    service = make_process("service")
    supervisor = Supervisor([[service]], messages.put_nowait, BackgroundTasks())
    await supervisor.start()
    assert (await messages.get()).startswith("service is ready (")
    before = service.pid
    service.kill(signal.SIGKILL)
    crash_message = await messages.get()
    assert crash_message.startswith("service was ended by SIGKILL; restarting it in 0.5 s. The end of ")
    assert crash_message.endswith("service serves")
    assert await messages.get() == "service is ready again"
    assert service.pid != before
    await supervisor.stop()


async def test_a_failed_restart_is_retried_later(make_process: MakeProcess, journal: Path) -> None:
    messages: asyncio.Queue[str] = asyncio.Queue()
    service = make_process("service", start_seconds=10)
    supervisor = Supervisor([[service]], messages.put_nowait, BackgroundTasks())
    await supervisor.start()
    journal.unlink()
    journal.mkdir()  # a stand-in that cannot write its journal exits at once
    service.kill()
    first_messages = [await messages.get() for _ in range(3)]
    assert "while it was starting" in first_messages[2]
    assert first_messages[2].endswith("trying again in 1 s")
    journal.rmdir()
    assert await messages.get() == "service is ready again"
    await supervisor.stop()


async def test_a_program_that_was_stopped_deliberately_stays_stopped(make_process: MakeProcess, journal: Path) -> None:
    service, other = make_process("service"), make_process("other")
    messages: asyncio.Queue[str] = asyncio.Queue()
    supervisor = Supervisor([[service, other]], messages.put_nowait, BackgroundTasks())
    await supervisor.start()
    await supervisor.process("service").stop()
    other.kill()
    while await messages.get() != "other is ready again":
        pass
    assert not service.running
    await service.start()
    await supervisor.stop()
    assert journal.read_text().splitlines().count("service up") == 2


async def test_kill_ends_a_stop_that_waits(make_process: MakeProcess) -> None:
    deaf = make_process("service", "deaf", stop_seconds=60)
    supervisor = Supervisor([[deaf]], lambda _: None, BackgroundTasks())
    await supervisor.start()
    stopping = asyncio.create_task(supervisor.stop())

    async def stopped() -> bool:
        supervisor.kill()
        return stopping.done()

    assert await holds_within(10, stopped)
    assert not deaf.running


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGUSR1], ids=["stopped", "hung event loop"])
async def test_a_process_that_does_not_answer_is_killed_and_restarted(make_process: MakeProcess, number: signal.Signals) -> None:
    messages: asyncio.Queue[str] = asyncio.Queue()
    service = make_process("service", "healthy")
    supervisor = Supervisor([[service]], messages.put_nowait, BackgroundTasks(), liveness_seconds=1.5)
    await supervisor.start()
    assert (await messages.get()).startswith("service is ready (")
    before = service.pid
    service.kill(number)
    assert await messages.get() == "service has not answered its health check for 1.5 s; killing it"
    assert (await messages.get()).startswith("service was ended by SIGKILL; restarting it")
    assert await messages.get() == "service is ready again"
    assert service.pid != before
    await supervisor.stop()
    assert messages.empty()


async def test_with_liveness_seconds_0_an_unresponsive_process_is_not_killed(make_process: MakeProcess) -> None:
    service, other = make_process("service", "healthy"), make_process("other", "healthy")
    messages: asyncio.Queue[str] = asyncio.Queue()
    patient, impatient = (
        Supervisor([[service]], messages.put_nowait, BackgroundTasks()),
        Supervisor([[other]], messages.put_nowait, BackgroundTasks(), liveness_seconds=0.6),
    )
    await asyncio.gather(patient.start(), impatient.start())
    before = service.pid
    service.kill(signal.SIGSTOP)
    other.kill(signal.SIGSTOP)
    while await messages.get() != "other is ready again":
        pass
    assert service.pid == before
    assert service.running
    service.kill(signal.SIGCONT)
    await asyncio.gather(patient.stop(), impatient.stop())


@pytest.mark.parametrize("name", ["watcher of service", "health checks of service"])
async def test_a_supervision_task_that_dies_is_reported(make_process: MakeProcess, name: str) -> None:
    """Without it, the launcher would not restart programs that die or hang."""
    tasks = BackgroundTasks()
    supervisor = Supervisor([[make_process("service", "healthy")]], lambda _: None, tasks, liveness_seconds=30)
    await supervisor.start()
    [watcher] = [task for task in asyncio.all_tasks() if task.get_name() == name]
    watcher.cancel()
    await asyncio.wait_for(tasks.stopping.wait(), 5)
    assert tasks.failure is not None
    assert tasks.failure.name == name
    await supervisor.stop()


async def test_a_hung_simulator_is_killed_and_restarted(tmp_path: Path) -> None:
    messages: asyncio.Queue[str] = asyncio.Queue()
    ports = replace(LocalPorts.at(0, 1, 1, 1), simulator=any_free_port())
    simulator = Programs(StateFolder(tmp_path), ports, Provider.simulator(ports.simulator), {}).simulator()
    supervisor = Supervisor([[simulator]], messages.put_nowait, BackgroundTasks(), liveness_seconds=1.5)
    await supervisor.start()
    assert (await messages.get()).startswith("simulator is ready (")
    simulator.kill(signal.SIGSTOP)
    assert await asyncio.wait_for(messages.get(), 30) == "simulator has not answered its health check for 1.5 s; killing it"
    assert (await messages.get()).startswith("simulator was ended by SIGKILL; restarting it")
    assert await asyncio.wait_for(messages.get(), 60) == "simulator is ready again"
    await supervisor.stop()
