"""The lag of the event loop is measured while the process works."""

import asyncio
import time

import pytest
from prometheus_client import REGISTRY

from mesh import loop_lag
from mesh.loop_lag import measure_loop_lag
from tests.support.waiting import eventually


def measured(name: str) -> float:
    return REGISTRY.get_sample_value(f"event_loop_lag_seconds_{name}") or 0.0


async def test_a_blocked_event_loop_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_lag, "EVERY_SECONDS", 0.01)
    counted, seconds = measured("count"), measured("sum")
    measuring = asyncio.create_task(measure_loop_lag())
    await asyncio.sleep(0)  # until the timer is set
    time.sleep(0.2)  # noqa: ASYNC251 - what is measured

    async def observed() -> bool:
        return measured("count") > counted

    await eventually(observed)
    measuring.cancel()
    assert measured("sum") - seconds > 0.15
