"""The text of running background executions while it grows."""
