"""The doors of the platform."""
