"""Clients that go on calling while everything behind them is killed, again and again.

CHAOS_SECONDS and CHAOS_CLIENTS make the storm longer and denser: `make chaos`.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import count

import psutil
import pytest

from deploy.local.stack import Stack
from tests.chaos.calls import LOST, NOTHING_BOUGHT, OK, PATIENCE_SECONDS, UNAVAILABLE, Call, Door, Ledger, insist
from tests.chaos.doors import RestDoor, grpc_door
from tests.chaos.quiet import set_pace, settled, well
from tests.chaos.reconcile import reconcile
from tests.chaos.wounds import OTHERS, Storm
from tests.conftest import ReportFigures

SECONDS = float(os.environ.get("CHAOS_SECONDS", "20"))
CLIENTS = int(os.environ.get("CHAOS_CLIENTS", "12"))
INSIST_SECONDS = 40.0
ALLOWED = {OK, LOST, UNAVAILABLE, *NOTHING_BOUGHT, "AGENT_EXECUTION_FAILED"}
"""How a request may end when whatever it needs can die at any moment."""
PROCESSES = ("orchestrator", "agents-0", "simulator", "postgres", "redis", "envoy")
GROWTH_MIB = 64.0


@pytest.mark.timeout(SECONDS + INSIST_SECONDS + 3 * PATIENCE_SECONDS + 60)
async def test_nothing_is_lost_in_a_storm(stack: Stack, rest: RestDoor, ledger: Ledger, report_figures: ReportFigures) -> None:
    """Every call ends, with an answer or a documented error; the stack recovers by itself; and all books agree."""
    async with AsyncExitStack() as exits:
        doors: list[Door] = [
            rest,
            await exits.enter_async_context(grpc_door(stack, "gateway")),
            await exits.enter_async_context(grpc_door(stack, "orchestrator")),
        ]
        await served_by(doors, ledger)
        await set_pace(stack, delay_ms=100, trickle_ms=40)
        before = memory(stack)
        storm, over = Storm(stack), asyncio.Event()
        async with asyncio.TaskGroup() as clients:
            for number in range(CLIENTS):
                clients.create_task(client(number, doors, ledger, over))
            await storm.rage(SECONDS)
            over.set()

        await well(stack)
        await settled(stack)
        books = await reconcile(stack.database_url, stack.simulator_log, ledger)
        report(report_figures, ledger, storm, books.states)
        assert all(storm.killed[name] for name in ("orchestrator", *OTHERS)), storm.killed
        assert set(attempts(ledger)) <= ALLOWED
        assert {call.outcome for call in ledger if call.key} == {OK}, "with a key a client can insist on its answer"

        await set_pace(stack)
        await served_by(doors, ledger)
        await reconcile(stack.database_url, stack.simulator_log, ledger)
        after = memory(stack)
        report_figures("MiB before and after: " + ", ".join(f"{name} {before[name]:.0f} {after[name]:.0f}" for name in PROCESSES))
        assert not {name: after[name] for name in PROCESSES if after[name] > before[name] + GROWTH_MIB}


async def client(number: int, doors: Sequence[Door], ledger: Ledger, over: asyncio.Event) -> None:
    """Asks one thing after another, in every way that there is, until the storm is over."""
    for turn in count():
        if over.is_set():
            return
        call = Call(f"Client {number} asks its question {turn}", streamed=turn % 3 == 1, key=f"{number}-{turn}" if turn % 3 == 2 else "")
        ledger.append(call)
        await insist(call, doors, INSIST_SECONDS)


async def served_by(doors: Sequence[Door], ledger: Ledger) -> None:
    """Whole and streamed answers come through every door."""
    for door in doors:
        for streamed in (False, True):
            call = Call(f"In peace, by {door.name}: {len(ledger)}", streamed)
            ledger.append(call)
            await insist(call, [door], INSIST_SECONDS)  # a gRPC channel may still be waiting to reconnect
            assert call.outcome == OK


def attempts(ledger: Ledger) -> Counter[str]:
    """How many requests ended how."""
    return Counter(one.outcome for call in ledger for one in call.attempts)


def memory(stack: Stack) -> dict[str, float]:
    """The resident memory of each process, without its children, in MiB."""
    return {name: psutil.Process(stack.process(name).pid).memory_info().rss / 2**20 for name in PROCESSES}


def report(report_figures: ReportFigures, ledger: Ledger, storm: Storm, states: Counter[str]) -> None:
    """The figures of the storm."""
    report_figures(f"{SECONDS:g} s of storm, {CLIENTS} clients; killed: {dict(storm.killed)}")
    report_figures(
        f"{len(ledger)} calls, {sum(call.outcome == OK for call in ledger)} answered at last; requests: {dict(attempts(ledger))}"
    )
    report_figures(f"executions: {dict(states)}")
