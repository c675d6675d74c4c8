"""Values that the shell completes by asking the platform."""

import os
from contextlib import suppress

import typer

from gateway.cli.errors import CliError
from gateway.cli.profiles import Profiles
from gateway.cli.session import Session

SECONDS = 2.0
"""Completion is given up after so long, so that the shell never hangs."""


def agents(context: typer.Context, incomplete: str) -> list[str]:
    """Up to 50 ids of agents that begin with `incomplete`."""
    from agentmesh.registry.v1 import registry_service_pb2 as pb
    from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

    with suppress(CliError):
        session = _session(context)
        request = pb.ListAgentsRequest(search=incomplete.replace("_", " "), limit=50)
        answer = session.ask(session.stub(RegistryServiceStub).ListAgents, request, SECONDS)
        return [agent.agent_id for agent in answer.agents if agent.agent_id.startswith(incomplete)]
    return []


def _session(context: typer.Context) -> Session:
    """The session of the line so far, whose global options are parsed; their callback has not run."""
    given = context.find_root().params
    profiles = Profiles.of(os.environ)
    profile = profiles.load(given.get("profile") or profiles.current())
    return Session(profiles, profile, given.get("server") or profile.server, os.environ.get("AGENTMESH_API_KEY", ""), profile.ca_file)
