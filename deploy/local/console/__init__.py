"""The web console of the local stack: built once for each state of its sources, and published for the gateway."""
