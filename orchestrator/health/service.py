"""Whether the platform is ready for calls."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ServiceUnavailable
from orchestrator.health.ports import Component, ComponentProbe

KEPT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """The platform can accept calls. `degraded` means that a component is unavailable that calls do not need."""

    degraded: bool
    components: Sequence[Component]


class HealthService:
    def __init__(self, probes: Sequence[ComponentProbe], stopping: Callable[[], bool], clock: Clock = SYSTEM_CLOCK) -> None:
        self._now = clock.monotonic
        self._probes = probes
        self._stopping = stopping
        self._turn = asyncio.Lock()
        self._components: Sequence[Component] = ()
        self._checked_at = float("-inf")

    async def readiness(self) -> Readiness:
        """Checks all components concurrently. Raises ServiceUnavailable if one that calls need is unavailable."""
        if self._stopping():
            raise ServiceUnavailable("not ready: this orchestrator is stopping", component="orchestrator")
        components = await self._check()
        for probe, component in zip(self._probes, components, strict=True):
            if probe.required and not component.available:
                raise ServiceUnavailable(f"not ready: {component.name}: {component.detail}", component=component.name)
        ordered = sorted(components, key=lambda component: component.name)
        return Readiness(not all(component.available for component in ordered), ordered)

    async def _check(self) -> Sequence[Component]:
        """Checks at most once a second: anyone may ask, and a check costs as much as several calls. Otherwise returns the last result."""
        async with self._turn:
            if self._now() - self._checked_at >= KEPT_SECONDS:
                self._components = await asyncio.gather(*(probe.check() for probe in self._probes))
                self._checked_at = self._now()
            return self._components
