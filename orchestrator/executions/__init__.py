"""Calls to agents: intent before, settlement after, and the books."""
