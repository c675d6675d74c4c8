"""The life of executions, steps, runs and workflows."""
