"""Bounded waits, and waking many who wait."""

import asyncio
from collections.abc import Iterable

WOKEN_AT_ONCE = 50
"""Waking a watcher costs about as much as a short call, so the event loop must be able to do other work in between."""


async def set_in_turn(events: Iterable[asyncio.Event]) -> None:
    """Sets every event, a few at a time."""
    for number, event in enumerate([*events], 1):
        event.set()
        if number % WOKEN_AT_ONCE == 0:
            await asyncio.sleep(0)


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Waits for the event for at most `seconds`; returns whether it is set."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            return await event.wait()
    except TimeoutError:
        return False
