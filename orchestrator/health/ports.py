"""The components that readiness depends on."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Component:
    """The state of one part of the platform at the time of its check."""

    name: str
    available: bool
    detail: str


class ComponentProbe(Protocol):
    required: bool
    """Whether agent calls need it."""

    async def check(self) -> Component:
        """Returns within about a second. A component that does not answer is reported as unavailable, not raised."""
        ...
