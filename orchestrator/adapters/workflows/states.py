"""The final states of runs, as SQL."""

from orchestrator.workflows.model import RunState

FINAL = tuple(state.value for state in RunState if state.final)
FINAL_SQL = "(" + ", ".join(f"'{state}'" for state in FINAL) + ")"
