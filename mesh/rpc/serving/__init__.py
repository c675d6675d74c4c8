"""A server of the mesh: how it listens, drains, and answers health and reflection."""
