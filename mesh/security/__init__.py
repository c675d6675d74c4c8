"""Credentials, certificates and the caller of a call."""
