"""The tail of a log: what it covers, what it drops, and which watchers it wakes."""

import asyncio
from contextlib import ExitStack

import pytest

from mesh.memory.tail import Tail
from mesh.waiting import WOKEN_AT_ONCE, set_within


def tail_of(*positions: int, capacity: int = 3, after: int = 0) -> Tail[int]:
    tail = Tail[int](capacity, position_of=lambda item: item)
    tail.start(after)
    tail.append(positions)
    return tail


def test_a_tail_covers_nothing_before_its_start_and_after_a_reset() -> None:
    tail = Tail[int](3, position_of=lambda item: item)
    assert not tail.started
    assert tail.since(0) is None
    tail.start(7)
    assert (tail.started, tail.since(7), tail.end) == (True, [], 7)
    tail.append([8])
    tail.reset()
    assert (tail.started, tail.since(8)) == (False, None)


@pytest.mark.parametrize(("position", "found"), [(4, None), (5, [7, 8]), (6, [7, 8]), (7, [8]), (8, []), (99, [])], ids=str)
def test_items_after_a_position_are_returned_in_order_across_gaps(position: int, found: list[int] | None) -> None:
    assert tail_of(7, 8, after=5).since(position) == found


@pytest.mark.parametrize(("position", "found"), [(0, None), (1, None), (2, [3, 5, 9]), (3, [5, 9])], ids=str)
def test_a_full_tail_drops_its_oldest_items_and_no_longer_covers_them(position: int, found: list[int] | None) -> None:
    tail = tail_of(1, 2, 3, 5, 9)
    assert tail.since(position) == found
    assert tail.end == 9


def test_a_restarted_tail_forgets_what_it_covered() -> None:
    tail = tail_of(1, 2)
    tail.start(10)
    assert tail.since(0) is None
    assert tail.since(10) == []


async def test_every_watcher_is_woken_until_it_leaves() -> None:
    tail = tail_of()
    with tail.watching() as one:
        with tail.watching() as other:
            tail.wake()
            assert one.is_set()
            assert other.is_set()
        one.clear()
        other.clear()
        tail.wake()
        assert await set_within(one, 1)
        assert not await set_within(other, 0)
        assert tail.watched
    assert not tail.watched


async def test_many_watchers_are_woken_a_few_at_a_time() -> None:
    tail = tail_of()
    with ExitStack() as leaving:
        watchers = [leaving.enter_context(tail.watching()) for _ in range(2 * WOKEN_AT_ONCE + 1)]
        awake: list[int] = []

        async def other_work() -> None:
            while len(awake) < 3:
                awake.append(sum(watcher.is_set() for watcher in watchers))
                await asyncio.sleep(0)

        await asyncio.gather(tail.wake_in_turn(), other_work())
    assert awake == [WOKEN_AT_ONCE, 2 * WOKEN_AT_ONCE, 2 * WOKEN_AT_ONCE + 1]
