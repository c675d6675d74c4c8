"""Finds agents, routes work to them and keeps the books."""
