"""The storage of workflows, runs and steps on PostgreSQL."""
