"""How a run and its steps progress."""
