"""What a worker does: it takes steps that are ready, has their agents called, and says what came of it."""
