"""The entry points: orchestrator, worker, consumer, accounts and migrate."""
