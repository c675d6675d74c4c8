"""Probes of the platform's components."""
