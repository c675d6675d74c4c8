"""Wakeups between processes: Redis publish/subscribe, and arq jobs for workers."""
