"""Two orchestrators and two workers that are restarted or killed one after another, while clients call, watch, and workflows run.

CHAOS_ROUNDS does it more often: `make chaos`.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import grpc
import httpx
import pytest
from agentmesh.workflow.v1.workflow_service_pb2 import WatchRunRequest
from agentmesh.workflow.v1.workflow_service_pb2_grpc import WorkflowServiceStub

from deploy.local.stack import Stack
from deploy.local.supervision.waiting import holds_within
from tests.chaos.calls import OK, Call, Door, insist
from tests.chaos.conftest import ENVIRONMENT, running_stack
from tests.chaos.doors import GrpcDoor, grpc_door, rest_door
from tests.chaos.quiet import set_pace, settled, well
from tests.chaos.reconcile import reconcile
from tests.chaos.run_books import COMPLETED, Start
from tests.chaos.runs import runs_of
from tests.chaos.starts import Crowd
from tests.chaos.wounds import killed, revived
from tests.conftest import ReportFigures

CALLS_A_SECOND = 50
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))
WORKFLOW_SECONDS = 0.5
"""The time between two runs that are started."""
INSIST_SECONDS = 60.0
CHANNELS = 10
"""An HTTP/2 connection carries a hundred streams by default."""
RETRY = {"max_attempts": 4, "delay_seconds": 0.2}
RESTARTED = {2: ("orchestrator", "orchestrator-1", "worker", "worker-1"), 1: ("orchestrator",)}
"""One after another, by the number of orchestrators."""
DRAIN = {"DRAIN_NOTICE_SECONDS": "1"}
"""As the orchestrator has it by default: longer than the gateway takes to learn of it."""


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory, compiled: Mapping[str, str]) -> AsyncIterator[Stack]:
    """Two orchestrators behind the gateway, and two workers."""
    environment = {**ENVIRONMENT, **DRAIN, **compiled}
    async with running_stack(tmp_path_factory.mktemp("rolling"), environment, orchestrators=2, workers=2) as running:
        yield running


@pytest.fixture(scope="module")
def ledger() -> list[Call]:
    """Every call of the module."""
    return []


@pytest.fixture(scope="module")
def starts() -> list[Start]:
    """Every run of the module."""
    return []


@pytest.mark.timeout(240)
async def test_200_watchers_who_come_and_go_see_every_change_once(stack: Stack, starts: list[Start], report_figures: ReportFigures) -> None:
    """Through the gateway, of ten runs, while one orchestrator after the other is killed."""
    await set_pace(stack, delay_ms=1_000)
    async with AsyncExitStack() as exits:
        runs = await exits.enter_async_context(runs_of(stack))
        channels = [await exits.enter_async_context(grpc_door(stack, "gateway")) for _ in range(CHANNELS)]
        crowd = Crowd(runs, RETRY)
        await crowd.start_runs(10, 1)
        starts += crowd.starts
        watchers = [
            asyncio.create_task(watched(channels[number % CHANNELS], crowd.starts[number % 10].run_id, random.Random(number)))
            for number in range(200)
        ]
        for name in ("orchestrator", "orchestrator-1"):
            await killed(stack.process(name))
            await revived(stack.process(name))
        seen = await asyncio.gather(*watchers)
        lengths = {start.run_id: len(await runs.sequences(start.run_id)) for start in crowd.starts}
    report_figures(f"200 watchers of 10 runs came back {sum(again for _, again in seen)} times while both orchestrators were killed")
    for number, (sequences, _) in enumerate(seen):
        assert sequences == list(range(1, lengths[crowd.starts[number % 10].run_id] + 1))


@pytest.mark.timeout(120 + 120 * ROUNDS)
@pytest.mark.parametrize("orchestrators", RESTARTED)
async def test_a_rolling_restart_fails_no_call_and_no_run(
    stack: Stack, ledger: list[Call], starts: list[Start], report_figures: ReportFigures, orchestrators: int
) -> None:
    """A client that sends UNAVAILABLE again, as the README says, gets every answer, with one orchestrator as with two."""
    if orchestrators == 1:
        await stack.process("orchestrator-1").stop()
    await set_pace(stack, delay_ms=200)
    over, began = asyncio.Event(), asyncio.get_running_loop().time()
    made: list[Call] = []
    async with runs_of(stack) as runs, rest_door(stack) as rest, grpc_door(stack, "gateway") as native:
        crowd = Crowd(runs, RETRY)
        load = [asyncio.create_task(calls(made, [rest, native], over)), asyncio.create_task(workflows(crowd, over))]
        try:
            for _ in range(ROUNDS):
                for name in RESTARTED[orchestrators]:
                    await stack.process(name).restart()
                    await served_by(stack, orchestrators)
        finally:
            over.set()
        seconds = asyncio.get_running_loop().time() - began
        await asyncio.gather(*load)
        ledger += made
        starts += crowd.starts
        ends = Counter([await runs.ended(start.run_id, 60) for start in crowd.starts])
    await settled(stack)
    report(report_figures, orchestrators, seconds, made, ends)
    assert Counter(call.outcome for call in made) == {OK: len(made)}
    assert ends == {COMPLETED: len(crowd.starts)}
    await reconcile(stack.database_url, stack.simulator_log, ledger, starts)


async def watched(door: GrpcDoor, run_id: str, chance: random.Random) -> tuple[list[int], int]:
    """Every sequence that one watcher sees until the run has ended, and how often it has come back."""
    stub: Any = WorkflowServiceStub(door.channel)
    seen: list[int] = []
    for again in count():
        watch = stub.WatchRun(WatchRunRequest(run_id=run_id, after_sequence=seen[-1] if seen else 0), timeout=INSIST_SECONDS)
        patience = chance.randint(1, 8)
        try:
            async for event in watch:
                kind = event.WhichOneof("event")
                if kind == "done":
                    return seen, again
                if kind in ("run", "step"):
                    seen.append(event.sequence)
                patience -= 1
                if not patience:
                    break
        except grpc.aio.AioRpcError as broken:
            if broken.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL):
                raise
        watch.cancel()
        await asyncio.sleep(chance.random() / 5)
    raise AssertionError


async def served_by(stack: Stack, orchestrators: int) -> None:
    """Waits until the gateway gives calls to so many orchestrators."""

    async def healthy() -> bool:
        async with httpx.AsyncClient(trust_env=False) as envoy:
            clusters = (await envoy.get(f"http://127.0.0.1:{stack.ports.envoy_admin}/clusters")).text
        return clusters.count("health_flags::healthy") == orchestrators

    assert await holds_within(30, healthy)
    await well(stack)


async def calls(made: list[Call], doors: Sequence[Door], over: asyncio.Event) -> None:
    """So many a second, whatever becomes of those before, until it is over."""
    began = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as clients:
        while not over.is_set():
            number = len(made)
            made.append(Call(f"Call {number} of a client that knows of no restart ({began})"))
            clients.create_task(insist(made[-1], [doors[number % len(doors)]], INSIST_SECONDS))
            await asyncio.sleep(began + len(made) / CALLS_A_SECOND - asyncio.get_running_loop().time())


async def workflows(crowd: Crowd, over: asyncio.Event) -> None:
    """A run every half second, until it is over."""
    async with asyncio.TaskGroup() as clients:
        while not over.is_set():
            clients.create_task(crowd.start_run())
            await asyncio.sleep(WORKFLOW_SECONDS)


def report(report_figures: ReportFigures, orchestrators: int, seconds: float, made: Sequence[Call], ends: Counter[str]) -> None:
    """The figures of a restart."""
    again = Counter(one.outcome for call in made for one in call.attempts if one.outcome != OK)
    report_figures(
        f"rolling restart with {orchestrators} orchestrator{'s' * (orchestrators > 1)}: {len(made)} calls in {seconds:.0f} s, "
        f"{sum(len(call.attempts) > 1 for call in made)} sent more than once ({dict(again)}), "
        f"{sum(call.outcome != OK for call in made)} failed; runs: {dict(ends)}"
    )
