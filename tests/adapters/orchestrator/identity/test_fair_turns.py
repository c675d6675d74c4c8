"""Who may check a password next, and who is refused, when more ask than can be served."""

import asyncio
from collections import Counter
from contextlib import suppress

import pytest

from mesh.errors import RateLimitExceeded
from orchestrator.adapters.identity.fair_turns import FairTurns

MOST = 8


class Door:
    """Serves one caller after another whenever the test says so, and keeps the order."""

    def __init__(self, most: int = MOST) -> None:
        self.turns = FairTurns(most, 0.25)
        self.served: list[str] = []
        self._go = asyncio.Semaphore(0)

    async def ask(self, address: str, name: str) -> "asyncio.Task[None]":
        """A caller, who has got in the queue, or was refused, when this returns."""
        task = asyncio.create_task(self._hold(address, name))
        await asyncio.sleep(0)
        return task

    async def serve(self, calls: int) -> list[str]:
        """Lets so many finish; returns who was served meanwhile."""
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
    """How many of the callers were refused by now."""
    await asyncio.sleep(0)
    return sum(1 for task in tasks if task.done() and isinstance(task.exception(), RateLimitExceeded))


async def end(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_three_addresses_that_flood_refuse_no_honest_login() -> None:
    door = Door(most=10)
    flood = [await door.ask(f"192.0.2.{n % 3}", f"guess{n}") for n in range(60)]
    honest = [await door.ask(f"198.51.100.{n}", f"user{n}") for n in range(7)]
    flood += [await door.ask(f"192.0.2.{n % 3}", f"more{n}") for n in range(60)]
    served = await door.serve(10)
    assert await refused(*honest) == 0
    assert {f"user{n}" for n in range(7)} <= set(served)
    await end(*flood, *honest)


async def test_one_address_waits_behind_its_own_calls_and_delays_others_by_one() -> None:
    door = Door()
    calls = [await door.ask("192.0.2.1", f"guess{n}") for n in range(6)]
    calls.append(await door.ask("192.0.2.2", "honest"))
    assert "honest" in await door.serve(2)
    await end(*calls)


async def test_a_network_of_ipv6_counts_as_one_address() -> None:
    door = Door()
    calls = [await door.ask(f"2001:db8::{n:x}", f"guess{n}") for n in range(6)]
    calls.append(await door.ask("2001:db8:0:1::1", "honest"))
    assert "honest" in await door.serve(2)
    await end(*calls)


async def test_one_name_from_many_addresses_delays_other_names_by_one_turn() -> None:
    door = Door(most=20)
    calls = [await door.ask(f"192.0.2.{n}", "Victim" if n % 2 else "victim") for n in range(16)]
    calls.append(await door.ask("198.51.100.1", "honest"))
    assert "honest" in await door.serve(3)
    await end(*calls)


async def test_guesses_at_a_name_from_one_address_do_not_lock_its_owner_out() -> None:
    door = Door()
    calls = [await door.ask("192.0.2.1", "alice") for _ in range(MOST + 5)]
    owner = await door.ask("198.51.100.1", "alice")
    await door.serve(3)
    assert owner.done()
    assert owner.exception() is None
    await end(*calls)


async def test_whoever_asks_most_often_gives_way_when_the_queue_is_full() -> None:
    door = Door()
    first = await door.ask("192.0.2.1", "holds the turn")
    flood = [await door.ask("192.0.2.1", f"guess{n}") for n in range(MOST)]
    assert await refused(*flood) == 0
    others = [await door.ask(f"198.51.100.{n}", f"user{n}") for n in range(MOST - 1)]
    assert Counter(refused=await refused(*flood), others=await refused(*others)) == Counter(refused=MOST - 1, others=0)
    too_many = await door.ask("192.0.2.1", "one more")
    await asyncio.sleep(0)
    error = too_many.exception()
    assert isinstance(error, RateLimitExceeded)
    assert error.message == "limit password_checks_waiting reached: at most 8 waiting per installation; try again in 1 s"
    await end(first, *flood, *others)


async def test_whoever_leaves_gives_the_place_back() -> None:
    door = Door(most=1)
    first, second = await door.ask("192.0.2.1", "first"), await door.ask("192.0.2.2", "second")
    await end(second)
    third = await door.ask("192.0.2.3", "third")
    assert await refused(third) == 0
    first.cancel()
    third.cancel()  # in the moment when its turn comes, or just before
    with suppress(asyncio.CancelledError):
        await asyncio.gather(first, third)
    assert (await door.serve(0)) == []
    last = await door.ask("192.0.2.4", "last")
    assert door.served[-1] == "last"
    await end(last)


async def test_nothing_is_remembered_of_those_who_were_served() -> None:
    door = Door()
    for n in range(100):
        task = await door.ask(f"192.0.2.{n}", f"user{n}")
        await door.serve(1)
        await task
    assert len(door.turns._ends) <= 1


@pytest.mark.parametrize("address", ["", "192.0.2.1"])
async def test_without_load_nobody_waits(address: str) -> None:
    door = Door()
    for _ in range(3):
        task = await door.ask(address, "")
        assert len(await door.serve(1)) <= 1
        await task


async def test_new_addresses_without_end_do_not_keep_out_one_that_comes_again() -> None:
    door = Door(most=20)
    calls = [await door.ask("198.51.100.1", "first"), await door.ask("198.51.100.1", "again")]
    calls += [await door.ask(f"192.0.2.{n}", f"user{n}") for n in range(5)]
    for n in range(20):
        await door.serve(1)
        calls.append(await door.ask(f"203.0.113.{n}", f"other{n}"))
        if "again" in door.served:
            break
    assert "again" in door.served
    assert len(door.turns._ends) <= 30
    await end(*calls)
