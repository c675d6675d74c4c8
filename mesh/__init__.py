"""Shared by every service, specific to none."""
