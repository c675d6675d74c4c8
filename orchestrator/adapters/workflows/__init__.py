"""Workflows, runs and steps on PostgreSQL."""
