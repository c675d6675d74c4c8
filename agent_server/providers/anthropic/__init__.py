"""Anthropic's Messages API, through the SDK."""
