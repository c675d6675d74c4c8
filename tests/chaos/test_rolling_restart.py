"""A rolling restart: every orchestrator and every worker, one after another, while clients call and workflows run.

CHAOS_ROUNDS does it more often: `make chaos`.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence

import httpx
import pytest

from deploy.local.stack import Stack
from deploy.local.waiting import holds_within
from tests.chaos.calls import OK, Call, Door, insist
from tests.chaos.conftest import ENVIRONMENT, Tell, running_stack
from tests.chaos.doors import grpc_door, rest_door
from tests.chaos.quiet import set_pace, settled, well
from tests.chaos.reconcile import reconcile
from tests.chaos.run_books import COMPLETED, Start
from tests.chaos.runs import runs_of
from tests.chaos.starts import Crowd

CALLS_A_SECOND = 50
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))
WORKFLOW_SECONDS = 0.5
"""The time between two runs that are started."""
INSIST_SECONDS = 60.0
RETRY = {"max_attempts": 4, "delay_seconds": 0.2}
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


@pytest.mark.timeout(120 + 120 * ROUNDS)
@pytest.mark.parametrize("orchestrators", [("orchestrator", "orchestrator-1"), ("orchestrator",)], ids=["two", "one"])
async def test_a_rolling_restart_fails_no_call_and_no_run(
    stack: Stack, ledger: list[Call], starts: list[Start], tell: Tell, orchestrators: Sequence[str]
) -> None:
    """A client that sends UNAVAILABLE again, as the README says, gets every answer, with one orchestrator as with two."""
    if len(orchestrators) == 1:
        await stack.process("orchestrator-1").stop()
    await set_pace(stack, delay_ms=200)
    over, began = asyncio.Event(), asyncio.get_running_loop().time()
    made: list[Call] = []
    async with runs_of(stack) as runs, rest_door(stack) as rest, grpc_door(stack, "gateway") as native:
        crowd = Crowd(runs, RETRY)
        load = [asyncio.create_task(calls(made, [rest, native], over)), asyncio.create_task(workflows(crowd, over))]
        try:
            for _ in range(ROUNDS):
                for name in (*orchestrators, "worker", "worker-1"):
                    await stack.process(name).restart()
                    await served_by(stack, len(orchestrators))
        finally:
            over.set()
        seconds = asyncio.get_running_loop().time() - began
        await asyncio.gather(*load)
        ledger += made
        starts += crowd.starts
        ends = Counter([await runs.ended(start.run_id, 60) for start in crowd.starts])
    await settled(stack)
    report(tell, orchestrators, seconds, made, ends)
    assert Counter(call.outcome for call in made) == {OK: len(made)}
    assert ends == {COMPLETED: len(crowd.starts)}
    await reconcile(stack.database_url, stack.simulator_log, ledger, starts)


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


def report(tell: Tell, orchestrators: Sequence[str], seconds: float, made: Sequence[Call], ends: Counter[str]) -> None:
    """The figures of a restart."""
    again = Counter(one.outcome for call in made for one in call.attempts if one.outcome != OK)
    tell(
        f"rolling restart with {len(orchestrators)} orchestrators: {len(made)} calls in {seconds:.0f} s, "
        f"{sum(len(call.attempts) > 1 for call in made)} sent more than once ({dict(again)}), "
        f"{sum(call.outcome != OK for call in made)} failed; runs: {dict(ends)}"
    )
