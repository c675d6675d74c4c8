"""The SPIFFE ids of the services: in their certificates, and as issuers of call tokens."""

TRUST_DOMAIN = "agentmesh"
ORCHESTRATOR = f"spiffe://{TRUST_DOMAIN}/orchestrator"
WORKER = f"spiffe://{TRUST_DOMAIN}/worker"
AGENT_HOST = f"spiffe://{TRUST_DOMAIN}/agent-host"
GATEWAY = f"spiffe://{TRUST_DOMAIN}/gateway"

SERVICES = (ORCHESTRATOR, WORKER, AGENT_HOST, GATEWAY)
CALLERS_OF_AGENTS = frozenset({ORCHESTRATOR, WORKER})
"""The services that may call agents."""


def service_of(identity: str) -> str:
    """The last part of a SPIFFE id, e.g. `agent-host`."""
    return identity.rpartition("/")[2]


def server_name(identity: str) -> str:
    """The DNS name in every certificate of a service, beside the SPIFFE id, regardless of the host.

    gRPC for Python can only compare a server's certificate with a host name, so this name represents the id.
    """
    return f"{service_of(identity)}.{TRUST_DOMAIN}"
