"""The stored descriptions of the agents: how they are written, read, watched and priced, and the shipped ones themselves."""
