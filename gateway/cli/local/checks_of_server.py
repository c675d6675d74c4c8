"""Checks of the server that the profile names: reachable, ready, the same version and time, and accepting the credential."""

from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from gateway.cli.application import Settings
from gateway.cli.errors import CliError
from gateway.cli.exits import Exit
from gateway.cli.local.finding import Finding, good, problem, warning
from mesh.clock import SYSTEM_CLOCK

SKEW_SECONDS = 5.0
"""A larger difference of the clocks makes fresh tokens look expired, or not yet valid."""
EXPIRY_DAYS = 14


def server(settings: Settings) -> Iterator[Finding]:
    """Everything about the server. What cannot be asked because the server does not answer is left out."""
    from importlib.metadata import version

    import grpc
    from agentmesh.health.v1 import health_service_pb2 as pb
    from agentmesh.health.v1.health_service_pb2_grpc import HealthServiceStub

    from gateway.cli.connection import failure

    session = settings.session()
    try:
        stub = session.stub(HealthServiceStub)
        health, call = stub.GetHealth.with_call(pb.GetHealthRequest(), timeout=5)
    except CliError as error:
        yield problem("server", error.message, error.advice)
        return
    except grpc.RpcError as error:
        known = failure(error, session.server)
        yield problem("server", known.message, known.advice)
        return
    own = version("agentmesh")
    if health.version == own:
        yield good("version", f"{session.server} and this command are {own}")
    else:
        yield warning("version", f"{session.server} is {health.version}, this command {own}", "use the same version of both")
    yield from _clock(session.server, call)
    yield from _components(stub)
    yield from _certificate(session.server)
    yield from _credential(settings)


def _clock(name: str, call: object) -> Iterator[Finding]:
    date = dict(call.initial_metadata() or ()).get("date", "")  # type: ignore[attr-defined]
    if not date:
        return
    skew = abs((parsedate_to_datetime(date) - SYSTEM_CLOCK.now()).total_seconds())
    if skew > SKEW_SECONDS:
        yield problem("clock", f"the clock of {name} differs by {skew:.0f} s", "set both by NTP; tokens depend on the time")
    else:
        yield good("clock", f"the clock of {name} agrees within {SKEW_SECONDS:g} s")


def _components(stub: object) -> Iterator[Finding]:
    import grpc
    from agentmesh.health.v1 import health_service_pb2 as pb

    try:
        answer = stub.GetReadiness(pb.GetReadinessRequest(), timeout=5)  # type: ignore[attr-defined]
    except grpc.RpcError as error:
        yield problem("server", f"not ready: {error.details()}", "see its logs")
        return
    for one in answer.components:
        if one.available:
            yield good("server", f"{one.name} is available")
        else:
            yield problem("server", f"{one.name} is unavailable: {one.detail}", "see the server's logs")


def _certificate(server_url: str) -> Iterator[Finding]:
    """The certificate that an https server shows, whether or not this machine trusts it."""
    import ssl

    from cryptography import x509

    from gateway.cli.connection import target_of

    target, secure = target_of(server_url)
    if not secure:
        return
    host, _, port = target.rpartition(":")
    shown = x509.load_pem_x509_certificate(ssl.get_server_certificate((host.strip("[]"), int(port)), timeout=5).encode())
    days = (shown.not_valid_after_utc - SYSTEM_CLOCK.now()).days
    if days < EXPIRY_DAYS:
        yield problem("certificates", f"the certificate of {host} expires in {days} days", "renew it")
    else:
        yield good("certificates", f"the certificate of {host} is valid for {days} days")


def _credential(settings: Settings) -> Iterator[Finding]:
    from agentmesh.identity.v1 import identity_service_pb2 as pb
    from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub

    session = settings.session()
    try:
        user = session.ask(session.stub(AuthServiceStub).GetCurrentUser, pb.GetCurrentUserRequest(), 5).user
    except CliError as error:
        found = warning if error.code is Exit.NOT_LOGGED_IN and not session.api_key else problem
        yield found("credential", error.message, error.advice)
        return
    yield good("credential", f"{session.server} accepts it as {user.username}")
