"""Which states are final, for everything that has a life: executions, steps, runs, and workflows by their latest run."""

from enum import StrEnum

_FINAL = frozenset({"completed", "failed", "cancelled", "outcome_unknown"})


class LifecycleState(StrEnum):
    """The base of the enums of states. The database stores the values."""

    @property
    def final(self) -> bool:
        """Whether the state never changes again."""
        return self.value in _FINAL
