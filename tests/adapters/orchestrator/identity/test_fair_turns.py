"""Whose password is checked next, and who is refused, when more logins arrive than can be served."""

import asyncio
from collections import Counter
from contextlib import suppress

import pytest

from mesh.errors import RateLimitExceeded
from orchestrator.adapters.identity.fair_turns import FairTurns

MOST = 8


class Login:
    """Serves one caller after another when the test allows it, and records the order."""

    def __init__(self, most: int = MOST) -> None:
        self.turns = FairTurns(most, 0.25)
        self.served: list[str] = []
        self._go = asyncio.Semaphore(0)

    async def ask(self, address: str, name: str) -> "asyncio.Task[None]":
        """A caller that is queued or refused by the time this returns."""
        task = asyncio.create_task(self._hold(address, name))
        await asyncio.sleep(0)
        return task

    async def serve(self, calls: int) -> list[str]:
        """Let this many callers finish; returns the names served meanwhile."""
        before = len(self.served)
        for _ in range(calls):
            self._go.release()
            for _ in range(5):
                await asyncio.sleep(0)
        return self.served[before:]

    async def _hold(self, address: str, name: str) -> None:
        async with self.turns.turn(address, name):
            self.served.append(name)
            await self._go.acquire()


async def refused(*tasks: "asyncio.Task[None]") -> int:
    """How many of the callers have been refused."""
    await asyncio.sleep(0)
    return sum(1 for task in tasks if task.done() and isinstance(task.exception(), RateLimitExceeded))


async def end(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_flood_from_three_addresses_refuses_no_other_login() -> None:
    login = Login(most=10)
    flood = [await login.ask(f"192.0.2.{n % 3}", f"guess{n}") for n in range(60)]
    honest = [await login.ask(f"198.51.100.{n}", f"user{n}") for n in range(7)]
    flood += [await login.ask(f"192.0.2.{n % 3}", f"more{n}") for n in range(60)]
    served = await login.serve(10)
    assert await refused(*honest) == 0
    assert {f"user{n}" for n in range(7)} <= set(served)
    await end(*flood, *honest)


async def test_one_address_waits_behind_its_own_logins_and_delays_others_by_one() -> None:
    login = Login()
    calls = [await login.ask("192.0.2.1", f"guess{n}") for n in range(6)]
    calls.append(await login.ask("192.0.2.2", "honest"))
    assert "honest" in await login.serve(2)
    await end(*calls)


async def test_an_ipv6_network_counts_as_one_address() -> None:
    login = Login()
    calls = [await login.ask(f"2001:db8::{n:x}", f"guess{n}") for n in range(6)]
    calls.append(await login.ask("2001:db8:0:1::1", "honest"))
    assert "honest" in await login.serve(2)
    await end(*calls)


async def test_one_name_from_many_addresses_delays_other_names_by_one_turn() -> None:
    login = Login(most=20)
    calls = [await login.ask(f"192.0.2.{n}", "Victim" if n % 2 else "victim") for n in range(16)]
    calls.append(await login.ask("198.51.100.1", "honest"))
    assert "honest" in await login.serve(3)
    await end(*calls)


async def test_guesses_from_one_address_do_not_lock_out_the_names_owner() -> None:
    login = Login()
    calls = [await login.ask("192.0.2.1", "alice") for _ in range(MOST + 5)]
    owner = await login.ask("198.51.100.1", "alice")
    await login.serve(3)
    assert owner.done()
    assert owner.exception() is None
    await end(*calls)


async def test_a_full_queue_drops_the_caller_with_the_most_logins() -> None:
    login = Login()
    first = await login.ask("192.0.2.1", "holds the turn")
    flood = [await login.ask("192.0.2.1", f"guess{n}") for n in range(MOST)]
    assert await refused(*flood) == 0
    others = [await login.ask(f"198.51.100.{n}", f"user{n}") for n in range(MOST - 1)]
    assert Counter(refused=await refused(*flood), others=await refused(*others)) == Counter(refused=MOST - 1, others=0)
    too_many = await login.ask("192.0.2.1", "one more")
    await asyncio.sleep(0)
    error = too_many.exception()
    assert isinstance(error, RateLimitExceeded)
    assert error.message == "limit password_checks_waiting reached: at most 8 waiting per installation; try again in 1 s"
    await end(first, *flood, *others)


async def test_a_cancelled_caller_frees_its_place() -> None:
    login = Login(most=1)
    first, second = await login.ask("192.0.2.1", "first"), await login.ask("192.0.2.2", "second")
    await end(second)
    third = await login.ask("192.0.2.3", "third")
    assert await refused(third) == 0
    first.cancel()
    third.cancel()  # at the moment when its turn comes, or just before
    with suppress(asyncio.CancelledError):
        await asyncio.gather(first, third)
    assert (await login.serve(0)) == []
    last = await login.ask("192.0.2.4", "last")
    assert login.served[-1] == "last"
    await end(last)


async def test_nothing_is_remembered_about_served_callers() -> None:
    login = Login()
    for n in range(100):
        task = await login.ask(f"192.0.2.{n}", f"user{n}")
        await login.serve(1)
        await task
    assert len(login.turns._ends) <= 1


@pytest.mark.parametrize("address", ["", "192.0.2.1"])
async def test_no_login_waits_without_load(address: str) -> None:
    login = Login()
    for _ in range(3):
        task = await login.ask(address, "")
        assert len(await login.serve(1)) <= 1
        await task


async def test_an_endless_supply_of_new_addresses_does_not_starve_a_returning_one() -> None:
    login = Login(most=20)
    calls = [await login.ask("198.51.100.1", "first"), await login.ask("198.51.100.1", "again")]
    calls += [await login.ask(f"192.0.2.{n}", f"user{n}") for n in range(5)]
    for n in range(20):
        await login.serve(1)
        calls.append(await login.ask(f"203.0.113.{n}", f"other{n}"))
        if "again" in login.served:
            break
    assert "again" in login.served
    assert len(login.turns._ends) <= 30
    await end(*calls)
