"""The final states of runs, for statements."""

from orchestrator.adapters.postgres.states import final_sql, final_states
from orchestrator.workflows.model import RunState

FINAL = final_states(RunState)
FINAL_SQL = final_sql(RunState)
