"""Measures how late the event loop of this process runs what is due."""

import asyncio

from prometheus_client import Histogram

from mesh.clock import SYSTEM_CLOCK

EVERY_SECONDS = 0.5
LAG = Histogram(
    "event_loop_lag_seconds",
    "How late the event loop ran a timer, measured twice a second; everything else in the process waited as long",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


async def measure_loop_lag() -> None:
    """Measures until cancelled."""
    while True:
        due = SYSTEM_CLOCK.monotonic() + EVERY_SECONDS
        await asyncio.sleep(EVERY_SECONDS)
        LAG.observe(max(0.0, SYSTEM_CLOCK.monotonic() - due))
