"""Whether the platform is ready: the checks run at most once a second, however many ask."""

import asyncio
from dataclasses import dataclass

import pytest

from mesh.errors import ServiceUnavailable
from orchestrator.health.ports import Component
from orchestrator.health.service import KEPT_SECONDS, HealthService


@dataclass
class Watch:
    """A clock that the test moves."""

    at: float = 100.0

    def monotonic(self) -> float:
        return self.at


@dataclass
class Probe:
    """Counts its checks."""

    available: bool = True
    checks: int = 0
    required = True

    async def check(self) -> Component:
        self.checks += 1
        await asyncio.sleep(0)
        return Component("postgresql", self.available, "answers")


@pytest.mark.parametrize("available", [True, False])
@pytest.mark.parametrize("asking", [1, 2, 530])
async def test_any_number_of_requests_within_a_second_runs_the_checks_once(asking: int, available: bool) -> None:
    probe, watch = Probe(available), Watch()
    health = HealthService([probe], lambda: False, watch)  # type: ignore[arg-type]
    for expected in (1, 2):
        answers = await asyncio.gather(*(health.readiness() for _ in range(asking)), return_exceptions=True)
        watch.at += KEPT_SECONDS * 0.99
        answers += await asyncio.gather(*(health.readiness() for _ in range(asking)), return_exceptions=True)
        assert probe.checks == expected
        assert all(isinstance(answer, ServiceUnavailable) is not available for answer in answers)
        watch.at += KEPT_SECONDS * 0.02
