"""The steps that a worker holds, and the ends of their leases."""

from collections.abc import Collection, Iterator

from orchestrator.executions.stop import StopSignal
from orchestrator.workflows.assignment import Assignment, LeaseId
from orchestrator.workflows.metrics import LEASED


class LeasedStep:
    """A step that the worker holds. `lease_ends` is a reading of the monotonic clock."""

    def __init__(self, assignment: Assignment, lease_ends: float) -> None:
        self.assignment = assignment
        self.lease_ends = lease_ends
        self.stop = StopSignal()


class LeasedSteps:
    def __init__(self) -> None:
        self._steps: dict[LeaseId, LeasedStep] = {}

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[LeasedStep]:
        return iter(list(self._steps.values()))

    @property
    def lease_ids(self) -> Collection[LeaseId]:
        return list(self._steps)

    def take(self, assignment: Assignment, lease_ends: float) -> LeasedStep | None:
        """Adds a step and returns it; None if the worker already holds it."""
        if assignment.lease_id in self._steps:
            return None
        leased = self._steps[assignment.lease_id] = LeasedStep(assignment, lease_ends)
        LEASED.set(len(self._steps))
        return leased

    def release(self, leased: LeasedStep) -> None:
        """Removes a step after its report."""
        self._steps.pop(leased.assignment.lease_id, None)
        LEASED.set(len(self._steps))

    def confirm(self, asked: Collection[LeaseId], renewed: Collection[LeaseId], lease_ends: float) -> None:
        """Extends the renewed leases and stops the calls of the other steps that were asked for."""
        for lease_id in asked:
            leased = self._steps.get(lease_id)
            if leased is None:
                continue
            if lease_id in renewed:
                leased.lease_ends = lease_ends
            else:
                leased.stop.set()

    def expire(self, now: float) -> None:
        """Stops the calls of steps whose lease has expired, because another worker may hold them now."""
        for leased in self._steps.values():
            if leased.lease_ends < now:
                leased.stop.set()
