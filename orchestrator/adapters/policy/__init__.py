"""Rego policies, in process or on an OPA server, and the log of denials."""
