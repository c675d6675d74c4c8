"""The registry's search index."""
