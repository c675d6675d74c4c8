"""Two orchestrators and two workers are restarted or killed one after another, while clients call and watch, and workflows run.

CHAOS_ROUNDS repeats it: see `make chaos`.
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
from tests.chaos.calls import OK, Call, Client, insist
from tests.chaos.clients import GrpcClient, grpc_client, rest_client
from tests.chaos.conftest import ENVIRONMENT, running_stack
from tests.chaos.fault_injection import killed, revived
from tests.chaos.reconcile import reconcile
from tests.chaos.recovery import set_pace, settled, well
from tests.chaos.run_books import COMPLETED, Start
from tests.chaos.runs import runs_of
from tests.chaos.starts import RunStarter
from tests.conftest import ReportFigures

CALLS_A_SECOND = 50
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))
WORKFLOW_SECONDS = 0.5
"""The time between the starts of two runs."""
INSIST_SECONDS = 60.0
CHANNELS = 10
"""By default, an HTTP/2 connection carries a hundred streams."""
RETRY = {"max_attempts": 4, "delay_seconds": 0.2}
RESTARTED = {2: ("orchestrator", "orchestrator-1", "worker", "worker-1"), 1: ("orchestrator",)}
"""The two parts, by the number of orchestrators."""
DRAIN = {"DRAIN_NOTICE_SECONDS": "1"}
"""The orchestrator's default, which is longer than the gateway takes to notice it."""


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
async def test_200_watchers_that_reconnect_see_every_change_once(stack: Stack, starts: list[Start], report_figures: ReportFigures) -> None:
    """Through the gateway, for ten runs, while one orchestrator after the other is killed."""
    await set_pace(stack, delay_ms=1_000)
    async with AsyncExitStack() as exits:
        runs = await exits.enter_async_context(runs_of(stack))
        channels = [await exits.enter_async_context(grpc_client(stack, "gateway")) for _ in range(CHANNELS)]
        starter = RunStarter(runs, RETRY)
        await starter.start_runs(10, 1)
        starts += starter.starts
        watchers = [
            asyncio.create_task(watched(channels[number % CHANNELS], starter.starts[number % 10].run_id, random.Random(number)))
            for number in range(200)
        ]
        for name in ("orchestrator", "orchestrator-1"):
            await killed(stack.process(name))
            await revived(stack.process(name))
        seen = await asyncio.gather(*watchers)
        lengths = {start.run_id: len(await runs.sequences(start.run_id)) for start in starter.starts}
    report_figures(f"200 watchers of 10 runs came back {sum(again for _, again in seen)} times while both orchestrators were killed")
    for number, (sequences, _) in enumerate(seen):
        assert sequences == list(range(1, lengths[starter.starts[number % 10].run_id] + 1))


@pytest.mark.timeout(120 + 120 * ROUNDS)
@pytest.mark.parametrize("orchestrators", RESTARTED)
async def test_a_rolling_restart_fails_no_call_and_no_run(
    stack: Stack, ledger: list[Call], starts: list[Start], report_figures: ReportFigures, orchestrators: int
) -> None:
    """A client that retries UNAVAILABLE, as the README recommends, gets every answer, with one orchestrator as with two."""
    if orchestrators == 1:
        await stack.process("orchestrator-1").stop()
    await set_pace(stack, delay_ms=200)
    over, began = asyncio.Event(), asyncio.get_running_loop().time()
    made: list[Call] = []
    async with runs_of(stack) as runs, rest_client(stack) as rest, grpc_client(stack, "gateway") as native:
        starter = RunStarter(runs, RETRY)
        load = [asyncio.create_task(calls(made, [rest, native], over)), asyncio.create_task(workflows(starter, over))]
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
        starts += starter.starts
        ends = Counter([await runs.ended(start.run_id, 60) for start in starter.starts])
    await settled(stack)
    report(report_figures, orchestrators, seconds, made, ends)
    assert Counter(call.outcome for call in made) == {OK: len(made)}
    assert ends == {COMPLETED: len(starter.starts)}
    await reconcile(stack.database_url, stack.simulator_log, ledger, starts)


async def watched(client: GrpcClient, run_id: str, chance: random.Random) -> tuple[list[int], int]:
    """Every sequence that one watcher sees until the run has ended, and how often it has reconnected."""
    stub: Any = WorkflowServiceStub(client.channel)
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
    """Wait until the gateway sends calls to this many orchestrators."""

    async def healthy() -> bool:
        async with httpx.AsyncClient(trust_env=False) as envoy:
            clusters = (await envoy.get(f"http://127.0.0.1:{stack.ports.envoy_admin}/clusters")).text
        return clusters.count("health_flags::healthy") == orchestrators

    assert await holds_within(30, healthy)
    await well(stack)


async def calls(made: list[Call], clients: Sequence[Client], over: asyncio.Event) -> None:
    """Send this many calls a second until `over` is set, without waiting for earlier ones."""
    began = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as tasks:
        while not over.is_set():
            number = len(made)
            made.append(Call(f"Call {number} of a client that knows of no restart ({began})"))
            tasks.create_task(insist(made[-1], [clients[number % len(clients)]], INSIST_SECONDS))
            await asyncio.sleep(began + len(made) / CALLS_A_SECOND - asyncio.get_running_loop().time())


async def workflows(starter: RunStarter, over: asyncio.Event) -> None:
    """Start a run every half second until `over` is set."""
    async with asyncio.TaskGroup() as tasks:
        while not over.is_set():
            tasks.create_task(starter.start_run())
            await asyncio.sleep(WORKFLOW_SECONDS)


def report(report_figures: ReportFigures, orchestrators: int, seconds: float, made: Sequence[Call], ends: Counter[str]) -> None:
    """Report the figures of a restart."""
    again = Counter(one.outcome for call in made for one in call.attempts if one.outcome != OK)
    report_figures(
        f"rolling restart with {orchestrators} orchestrator{'s' * (orchestrators > 1)}: {len(made)} calls in {seconds:.0f} s, "
        f"{sum(len(call.attempts) > 1 for call in made)} sent more than once ({dict(again)}), "
        f"{sum(call.outcome != OK for call in made)} failed; runs: {dict(ends)}"
    )
