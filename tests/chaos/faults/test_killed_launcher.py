"""SIGKILL of the launcher in the middle of a call: the next `up` finds the books, and settles what was left open.

That nothing of the first goes on running, and that its ports are free, is held by tests/adapters/local/test_launcher.py.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from deploy.local.clean import remove_all
from deploy.local.stack import Stack
from deploy.local.state import StateFolder
from deploy.local.supervision.waiting import holds_within
from tests.chaos.calls import OK, Call, attempt
from tests.chaos.conftest import ENVIRONMENT
from tests.chaos.doors import rest_door
from tests.chaos.quiet import provider_busy, serves, set_pace, settled
from tests.chaos.reconcile import reconcile
from tests.support.ports import free_port_offset

UP_SECONDS = 90
END_SECONDS = 30
LEFT_BEHIND = frozenset({"ANTHROPIC_API_KEY", "MAKELEVEL"})
"""What the launcher must not learn of our own environment: a real provider's key, and that there is a `make` above it."""


@pytest.fixture
async def place() -> AsyncIterator[Stack]:
    """Where a launcher will run a stack; the folder is empty before and gone after."""
    with free_port_offset() as offset:
        folder = StateFolder.of_offset(offset).path
        yield Stack(folder, offset)
        await remove_all(folder)


async def test_the_next_launcher_settles_what_a_killed_one_left_open(place: Stack, compiled: Mapping[str, str]) -> None:
    """An answer under a key is still the key's answer; the call in the middle of which the launcher was killed is settled."""
    kept, open_call = Call("Asked in the first life", key="kept"), Call("Under way when the launcher was killed", key="open")
    ledger = [kept, open_call]
    async with launched(place, compiled) as launcher, rest_door(place) as rest:
        first = await attempt(kept, rest)
        await set_pace(place, delay_ms=30_000)
        under_way = asyncio.create_task(attempt(open_call, rest))
        await provider_busy(place, 1)
        launcher.kill()
        assert (await under_way).outcome != OK
        await asyncio.wait_for(launcher.wait(), END_SECONDS)

    async with launched(place, compiled) as launcher, rest_door(place) as rest:
        await settled(place)
        again = await attempt(kept, rest)
        assert (again.outcome, again.answer) == (OK, first.answer)
        books = await reconcile(place.database_url, place.simulator_log, ledger)
        assert (books.states["completed"], books.states.total()) == (1, 2)
        assert (await attempt(open_call, rest)).outcome == OK, "its key is free for another attempt"
        await reconcile(place.database_url, place.simulator_log, ledger)
        launcher.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(launcher.wait(), END_SECONDS) == 0


@asynccontextmanager
async def launched(place: Stack, compiled: Mapping[str, str]) -> AsyncIterator[Any]:
    """`python -m deploy.local up`, once the platform takes calls."""
    kept = {name: value for name, value in os.environ.items() if name not in LEFT_BEHIND}
    launcher = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local", "up", "--port-offset", str(place.ports.offset)),
        stdout=asyncio.subprocess.DEVNULL,
        env={**kept, **ENVIRONMENT, **compiled},
    )

    async def decided() -> bool:
        return launcher.returncode is not None or await serves(place)

    try:
        assert await holds_within(UP_SECONDS, decided)
        assert launcher.returncode is None, "the launcher has ended; standard error says why"
        yield launcher
    finally:
        if launcher.returncode is None:
            launcher.terminate()
            await asyncio.wait_for(launcher.wait(), END_SECONDS)
