"""The tasks of a workflow: their order, and the references between them."""
