"""Workflows: named graphs of tasks, their runs, and the steps of a run."""
