"""The entry points: orchestrator, worker, consumer and accounts."""
