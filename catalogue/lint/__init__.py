"""Checks definitions beyond what is needed to serve them."""
