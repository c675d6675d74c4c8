"""Ranks agents for a search: words, partly typed or misspelt words, and whole sentences."""
