"""Clients that keep calling while everything behind them is killed, repeatedly.

CHAOS_SECONDS and CHAOS_CLIENTS set the length and the load: see `make chaos`.
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
from tests.chaos.calls import LOST, NOTHING_BOUGHT, OK, PATIENCE_SECONDS, UNAVAILABLE, Call, Client, Ledger, insist
from tests.chaos.clients import RestClient, grpc_client
from tests.chaos.fault_injection import OTHERS, Storm
from tests.chaos.figures import figures_agree
from tests.chaos.reconcile import reconcile
from tests.chaos.recovery import set_pace, settled, well
from tests.conftest import ReportFigures

SECONDS = float(os.environ.get("CHAOS_SECONDS", "20"))
CLIENTS = int(os.environ.get("CHAOS_CLIENTS", "12"))
INSIST_SECONDS = 40.0
ALLOWED = {OK, LOST, UNAVAILABLE, *NOTHING_BOUGHT, "AGENT_EXECUTION_FAILED"}
"""The outcomes that are allowed while any dependency may be killed at any moment."""
PROCESSES = ("orchestrator", "agents-0", "simulator", "postgres", "redis", "envoy")
GROWTH_MIB = 64.0


@pytest.mark.timeout(SECONDS + INSIST_SECONDS + 3 * PATIENCE_SECONDS + 60)
async def test_nothing_is_lost_while_processes_are_killed(
    stack: Stack, rest: RestClient, ledger: Ledger, report_figures: ReportFigures
) -> None:
    """Every call ends with an answer or a documented error, the stack recovers by itself, and all books agree."""
    async with AsyncExitStack() as exits:
        clients: list[Client] = [
            rest,
            await exits.enter_async_context(grpc_client(stack, "gateway")),
            await exits.enter_async_context(grpc_client(stack, "orchestrator")),
        ]
        await served_by(clients, ledger)
        await set_pace(stack, delay_ms=100, trickle_ms=40)
        before = memory(stack)
        storm, over = Storm(stack), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for number in range(CLIENTS):
                tasks.create_task(run_client(number, clients, ledger, over))
            await storm.run(SECONDS)
            over.set()

        await well(stack)
        await settled(stack)
        books = await reconcile(stack.database_url, stack.simulator_log, ledger)
        report(report_figures, ledger, storm, books.states)
        assert all(storm.killed[name] for name in ("orchestrator", *OTHERS)), storm.killed
        assert set(attempts(ledger)) <= ALLOWED
        assert {call.outcome for call in ledger if call.key} == {OK}, "a call with an idempotency key got no answer"

        await set_pace(stack)
        await served_by(clients, ledger)
        await reconcile(stack.database_url, stack.simulator_log, ledger)
        assert await figures_agree(stack.database_url), "no execution was counted"
        after = memory(stack)
        report_figures("MiB before and after: " + ", ".join(f"{name} {before[name]:.0f} {after[name]:.0f}" for name in PROCESSES))
        assert not {name: after[name] for name in PROCESSES if after[name] > before[name] + GROWTH_MIB}


async def run_client(number: int, clients: Sequence[Client], ledger: Ledger, over: asyncio.Event) -> None:
    """Send one request after another, in every supported way, until the storm is over."""
    for turn in count():
        if over.is_set():
            return
        call = Call(f"Client {number} asks its question {turn}", streamed=turn % 3 == 1, key=f"{number}-{turn}" if turn % 3 == 2 else "")
        ledger.append(call)
        await insist(call, clients, INSIST_SECONDS)


async def served_by(clients: Sequence[Client], ledger: Ledger) -> None:
    """Require unary and streamed answers through every entry point."""
    for client in clients:
        for streamed in (False, True):
            call = Call(f"In peace, by {client.name}: {len(ledger)}", streamed)
            ledger.append(call)
            await insist(call, [client], INSIST_SECONDS)  # a gRPC channel may still wait to reconnect
            assert call.outcome == OK


def attempts(ledger: Ledger) -> Counter[str]:
    """The number of requests by outcome."""
    return Counter(one.outcome for call in ledger for one in call.attempts)


def memory(stack: Stack) -> dict[str, float]:
    """The resident memory of each process, without its children, in MiB."""
    return {name: psutil.Process(stack.process(name).pid).memory_info().rss / 2**20 for name in PROCESSES}


def report(report_figures: ReportFigures, ledger: Ledger, storm: Storm, states: Counter[str]) -> None:
    """Report the figures of the storm."""
    report_figures(f"{SECONDS:g} s of storm, {CLIENTS} clients; killed: {dict(storm.killed)}")
    report_figures(
        f"{len(ledger)} calls, {sum(call.outcome == OK for call in ledger)} answered at last; requests: {dict(attempts(ledger))}"
    )
    report_figures(f"executions: {dict(states)}")
