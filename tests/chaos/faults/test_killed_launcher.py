"""SIGKILL of the launcher during a call: the next `up` finds the books, and settles what was left open.

That no program of the first keeps running, and that its ports are free, is tested in tests/adapters/local/test_launcher.py.
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
from tests.chaos.clients import rest_client
from tests.chaos.conftest import ENVIRONMENT
from tests.chaos.reconcile import reconcile
from tests.chaos.recovery import provider_busy, serves, set_pace, settled
from tests.support.ports import free_port_offset

UP_SECONDS = 90
END_SECONDS = 30
LEFT_BEHIND = frozenset({"ANTHROPIC_API_KEY", "MAKELEVEL"})
"""Variables of this environment that the launcher must not see: a real provider's key, and the signs of a parent `make`."""


@pytest.fixture
async def place() -> AsyncIterator[Stack]:
    """The port offset of a launcher's stack; its folder is empty before and removed after."""
    with free_port_offset() as offset:
        folder = StateFolder.of_offset(offset).path
        yield Stack(folder, offset)
        await remove_all(folder)


async def test_the_next_launcher_settles_what_a_killed_one_left_open(place: Stack, compiled: Mapping[str, str]) -> None:
    """A recorded answer is still returned for its key, and the call that was interrupted by the kill is settled."""
    kept, open_call = Call("Asked in the first life", key="kept"), Call("Under way when the launcher was killed", key="open")
    ledger = [kept, open_call]
    async with launched(place, compiled) as launcher, rest_client(place) as rest:
        first = await attempt(kept, rest)
        await set_pace(place, delay_ms=30_000)
        under_way = asyncio.create_task(attempt(open_call, rest))
        await provider_busy(place, 1)
        launcher.kill()
        assert (await under_way).outcome != OK
        await asyncio.wait_for(launcher.wait(), END_SECONDS)

    async with launched(place, compiled) as launcher, rest_client(place) as rest:
        await settled(place)
        again = await attempt(kept, rest)
        assert (again.outcome, again.answer) == (OK, first.answer)
        books = await reconcile(place.database_url, place.simulator_log, ledger)
        assert (books.states["completed"], books.states.total()) == (1, 2)
        assert (await attempt(open_call, rest)).outcome == OK, "the key was not released for another attempt"
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
        assert launcher.returncode is None, "the launcher exited; see standard error"
        yield launcher
    finally:
        if launcher.returncode is None:
            launcher.terminate()
            await asyncio.wait_for(launcher.wait(), END_SECONDS)
