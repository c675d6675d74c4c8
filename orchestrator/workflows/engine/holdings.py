"""The steps that a worker has, and how long it may still think so."""

from collections.abc import Collection, Iterator

from orchestrator.executions.stop import StopSignal
from orchestrator.workflows.assignment import Assignment, Hold
from orchestrator.workflows.metrics import HELD


class Held:
    """A step that the worker has. `lease_ends` is on the loop's clock."""

    def __init__(self, assignment: Assignment, lease_ends: float) -> None:
        self.assignment = assignment
        self.lease_ends = lease_ends
        self.stop = StopSignal()


class Holdings:
    """All of them."""

    def __init__(self) -> None:
        self._held: dict[Hold, Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(list(self._held.values()))

    @property
    def holds(self) -> Collection[Hold]:
        """What they are known by."""
        return list(self._held)

    def take(self, assignment: Assignment, lease_ends: float) -> Held | None:
        """The step, newly held; None when it is held already."""
        if assignment.hold in self._held:
            return None
        held = self._held[assignment.hold] = Held(assignment, lease_ends)
        HELD.set(len(self._held))
        return held

    def release(self, held: Held) -> None:
        """The worker has said what came of it."""
        self._held.pop(held.assignment.hold, None)
        HELD.set(len(self._held))

    def confirm(self, asked: Collection[Hold], ours: Collection[Hold], lease_ends: float) -> None:
        """Prolongs what is still ours, and stops the calls of what is not."""
        for hold in asked:
            held = self._held.get(hold)
            if held is None:
                continue
            if hold in ours:
                held.lease_ends = lease_ends
            else:
                held.stop.set()

    def expire(self, now: float) -> None:
        """Stops the calls of steps whose lease has passed: somebody else may have them."""
        for held in self._held.values():
            if held.lease_ends < now:
                held.stop.set()
