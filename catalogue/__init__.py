"""Reads, checks, watches, prices and renders the definitions of agents."""
