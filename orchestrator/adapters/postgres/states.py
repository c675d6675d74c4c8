"""The final states of a kind of object, for statements."""

from orchestrator.lifecycle.states import LifecycleState


def final_states(kind: type[LifecycleState]) -> tuple[str, ...]:
    """The values of the final states, in the order of their declaration."""
    return tuple(state.value for state in kind if state.final)


def final_sql(kind: type[LifecycleState]) -> str:
    """The same as a list for the operator IN."""
    return "(" + ", ".join(f"'{state}'" for state in final_states(kind)) + ")"
