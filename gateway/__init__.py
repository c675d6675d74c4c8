"""The entry points for clients of the platform."""
