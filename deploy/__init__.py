"""Where AgentMesh runs: on this machine, in containers, in a cluster."""
