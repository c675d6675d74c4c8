"""Executions: the recorder, the sweeper, the store, and agents over gRPC."""
