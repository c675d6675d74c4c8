"""Deletes what is older than its retention: executions, runs, their changes, and the audit log."""
