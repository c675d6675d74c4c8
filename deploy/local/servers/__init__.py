"""The servers that a local stack embeds."""
