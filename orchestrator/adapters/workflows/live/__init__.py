"""The texts of running background executions, in Redis."""
