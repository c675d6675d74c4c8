"""Users, their sessions and their API keys; and who did what."""
