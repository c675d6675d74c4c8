"""Decides who may do what, by the policy in `deploy/policy/`."""
