"""Models: their names, their prices, and estimates of tokens."""
