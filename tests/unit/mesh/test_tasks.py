"""Background tasks: none can end unnoticed, and stopping one is not a failure."""

import asyncio

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from mesh.tasks import BackgroundTasks, awaited


async def forever() -> None:
    await asyncio.Event().wait()


async def breaks() -> None:
    raise ValueError("an invalid row")


async def returns() -> None:
    pass


async def test_a_task_that_raises_stops_the_process_and_is_logged_with_its_cause() -> None:
    tasks = BackgroundTasks()
    with capture_logs() as lines:
        tasks.start("sweeper", breaks())
        await asyncio.wait_for(tasks.stopping.wait(), 5)
    assert tasks.failure is not None
    assert (tasks.failure.name, tasks.urgent) == ("sweeper", False)
    assert isinstance(tasks.failure.cause, ValueError)
    [line] = lines
    assert (line["event"], line["task"]) == ("task_ended_unexpectedly", "sweeper")
    assert line["exc_info"] is tasks.failure.cause


@pytest.mark.parametrize(("vital", "stops_process"), [(True, "yes"), (False, "no")])
async def test_a_failed_task_is_counted(vital: bool, stops_process: str) -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("background_task_failures_total", {"stops_process": stops_process}) or 0.0

    before = count()
    with capture_logs():
        await asyncio.wait([BackgroundTasks().start_once("step", breaks(), vital=vital)])
        await asyncio.sleep(0)  # the callback of the task
    assert count() == before + 1


async def test_a_task_that_returns_or_is_cancelled_from_outside_stops_the_process() -> None:
    for cancelled in (False, True):
        tasks = BackgroundTasks()
        task = tasks.start("sweeper", forever() if cancelled else returns())
        if cancelled:
            task.cancel()
        await asyncio.wait_for(tasks.stopping.wait(), 5)
        assert tasks.failure is not None
        assert (tasks.failure.name, tasks.failure.cause) == ("sweeper", None)


async def test_stopping_and_cancelling_a_task_is_not_a_failure() -> None:
    tasks = BackgroundTasks()
    first, second = tasks.start("one", forever()), tasks.start("two", forever())
    tasks.cancel(first)
    await tasks.stop(first, second)
    await tasks.stop()
    assert first.cancelled()
    assert second.cancelled()
    assert (tasks.failure, tasks.stopping.is_set()) == (None, False)


async def test_a_task_that_returns_because_the_process_stops_is_not_a_failure() -> None:
    tasks = BackgroundTasks()

    async def until_stopped() -> None:
        await tasks.stopping.wait()

    task = tasks.start("catalogue", until_stopped())
    tasks.stopping.set()
    await tasks.join(task)
    assert tasks.failure is None


@pytest.mark.parametrize("urgent_first", [False, True])
async def test_an_urgent_failure_takes_precedence(urgent_first: bool) -> None:
    tasks = BackgroundTasks()
    order = [("leases", True), ("sweeper", False)] if urgent_first else [("sweeper", False), ("leases", True)]
    for name, urgent in order:
        await asyncio.wait([tasks.start(name, breaks(), urgent=urgent)])
    await asyncio.sleep(0)
    assert tasks.failure is not None
    assert (tasks.failure.name, tasks.urgent) == ("leases", True)


async def test_a_task_that_ends_by_itself_may_return() -> None:
    tasks = BackgroundTasks()
    await tasks.start_once("drain", returns())
    await asyncio.sleep(0)
    assert (tasks.failure, tasks.stopping.is_set()) == (None, False)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_task_that_ends_by_itself_and_does_not_finish_is_a_failure(cancelled: bool) -> None:
    tasks = BackgroundTasks()
    task = tasks.start_once("drain", forever() if cancelled else breaks())
    if cancelled:
        task.cancel()
    await asyncio.wait_for(tasks.stopping.wait(), 5)
    assert tasks.failure is not None
    assert tasks.failure.name == "drain"


async def test_the_failure_of_a_single_call_is_logged_and_stops_nothing() -> None:
    tasks = BackgroundTasks()
    with capture_logs() as lines:
        await asyncio.wait([tasks.start_once("cancelled call", breaks(), vital=False)])
        await asyncio.sleep(0)
    assert [(line["event"], line["task"]) for line in lines] == [("task_failed", "cancelled call")]
    assert isinstance(lines[0]["exc_info"], ValueError)
    assert (tasks.failure, tasks.stopping.is_set()) == (None, False)


async def test_who_awaits_a_task_learns_how_it_ended() -> None:
    with pytest.raises(ValueError, match="an invalid row"):
        await awaited(breaks())
