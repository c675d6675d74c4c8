"""The final states of executions, steps and runs, in Python and in statements."""

import pytest

from orchestrator.adapters.postgres.states import final_sql, final_states
from orchestrator.executions.model import State
from orchestrator.lifecycle.states import LifecycleState
from orchestrator.workflows.model import RunState, StepState

UNFINISHED = {"pending", "waiting_approval", "ready", "running", "cancelling"}
FINISHED = {State: 4, RunState: 3, StepState: 3}


@pytest.mark.parametrize("kind", FINISHED)
def test_every_state_is_either_final_or_one_that_still_changes(kind: type[LifecycleState]) -> None:
    assert {state.value for state in kind if not state.final} == {state.value for state in kind} & UNFINISHED
    assert len(final_states(kind)) == FINISHED[kind]


def test_statements_list_the_final_states_in_the_order_of_the_partial_indexes() -> None:
    assert final_sql(RunState) == "('completed', 'failed', 'cancelled')"
    assert final_sql(State) == "('completed', 'failed', 'cancelled', 'outcome_unknown')"
