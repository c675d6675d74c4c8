"""Idempotency keys: a repeated request returns what the original request made."""
