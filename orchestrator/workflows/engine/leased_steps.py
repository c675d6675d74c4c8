"""The steps that a worker has, and how long it may still think so."""

from collections.abc import Collection, Iterator

from orchestrator.executions.stop import StopSignal
from orchestrator.workflows.assignment import Assignment, LeaseId
from orchestrator.workflows.metrics import LEASED


class LeasedStep:
    """A step that the worker has. `lease_ends` is on the loop's clock."""

    def __init__(self, assignment: Assignment, lease_ends: float) -> None:
        self.assignment = assignment
        self.lease_ends = lease_ends
        self.stop = StopSignal()


class LeasedSteps:
    def __init__(self) -> None:
        self._held: dict[LeaseId, LeasedStep] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[LeasedStep]:
        return iter(list(self._held.values()))

    @property
    def lease_ids(self) -> Collection[LeaseId]:
        """What they are known by."""
        return list(self._held)

    def take(self, assignment: Assignment, lease_ends: float) -> LeasedStep | None:
        """The step, newly leased; None when it is leased already."""
        if assignment.lease_id in self._held:
            return None
        leased = self._held[assignment.lease_id] = LeasedStep(assignment, lease_ends)
        LEASED.set(len(self._held))
        return leased

    def release(self, leased: LeasedStep) -> None:
        """The worker has said what came of it."""
        self._held.pop(leased.assignment.lease_id, None)
        LEASED.set(len(self._held))

    def confirm(self, asked: Collection[LeaseId], ours: Collection[LeaseId], lease_ends: float) -> None:
        """Prolongs what is still ours, and stops the calls of what is not."""
        for lease_id in asked:
            leased = self._held.get(lease_id)
            if leased is None:
                continue
            if lease_id in ours:
                leased.lease_ends = lease_ends
            else:
                leased.stop.set()

    def expire(self, now: float) -> None:
        """Stops the calls of steps whose lease has passed: somebody else may have them."""
        for leased in self._held.values():
            if leased.lease_ends < now:
                leased.stop.set()
