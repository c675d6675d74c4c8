"""Server interceptors, one per file, in the order in which they see a call: telemetry, errors, authentication, scopes, validation."""
