"""The names of the services inside the mesh, as SPIFFE ids: in their certificates, and as the issuers of call tokens."""

TRUST_DOMAIN = "agentmesh"
ORCHESTRATOR = f"spiffe://{TRUST_DOMAIN}/orchestrator"
WORKER = f"spiffe://{TRUST_DOMAIN}/worker"
AGENT_HOST = f"spiffe://{TRUST_DOMAIN}/agent-host"
GATEWAY = f"spiffe://{TRUST_DOMAIN}/gateway"

SERVICES = (ORCHESTRATOR, WORKER, AGENT_HOST, GATEWAY)
CALLERS_OF_AGENTS = frozenset({ORCHESTRATOR, WORKER})
"""Who may have an agent work."""


def service_of(identity: str) -> str:
    """The last part of a SPIFFE id, e.g. `agent-host`."""
    return identity.rpartition("/")[2]


def server_name(identity: str) -> str:
    """The DNS name that every certificate of a service bears beside its SPIFFE id, wherever its servers are.

    gRPC for Python compares the certificate of a server with a host name and with nothing else, so this name stands for the id.
    """
    return f"{service_of(identity)}.{TRUST_DOMAIN}"
