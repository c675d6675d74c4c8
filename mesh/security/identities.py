"""The names of the services inside the mesh, as SPIFFE ids: in their certificates, and as the issuers of call tokens."""

TRUST_DOMAIN = "spiffe://agentmesh"
ORCHESTRATOR = f"{TRUST_DOMAIN}/orchestrator"
WORKER = f"{TRUST_DOMAIN}/worker"
AGENT_HOST = f"{TRUST_DOMAIN}/agent-host"
GATEWAY = f"{TRUST_DOMAIN}/gateway"

CALLERS_OF_AGENTS = frozenset({ORCHESTRATOR, WORKER})
"""Who may have an agent work."""
