"""Names and prices of models, and estimates of tokens."""
