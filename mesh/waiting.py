"""Bounded waits."""

import asyncio


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Waits for the event for at most `seconds`; returns whether it is set."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            return await event.wait()
    except TimeoutError:
        return False
