"""Implements the features' ports: PostgreSQL, Redis, SQLite and the agents over gRPC."""
