"""The health of the platform as a whole."""
