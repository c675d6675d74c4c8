"""What requests share: page tokens, idempotency keys, limits on their shape, and why bytes cannot be decoded."""
