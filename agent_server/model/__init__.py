"""The port to a model provider."""
