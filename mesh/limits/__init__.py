"""Limits on calls: how many may wait, and how many may come."""
