"""The whole platform on one machine, with the servers it needs embedded."""
