"""Calls to agents: an intent is recorded before each call, and a settlement after it."""
