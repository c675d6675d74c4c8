"""The whole platform on one machine, with the servers that it needs."""
