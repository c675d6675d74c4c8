"""PostgreSQL, shared by every adapter: the engine, group commit, LISTEN, and the base tables."""
