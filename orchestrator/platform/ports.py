"""What readiness is made of."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the platform, as it was when it was asked."""

    name: str
    available: bool
    detail: str


class ComponentProbe(Protocol):
    """Asks one component how it is."""

    required: bool
    """Whether agent calls need it."""

    async def check(self) -> Component:
        """Its word within a bound of about a second; a component that does not answer is not available, and no error."""
        ...
