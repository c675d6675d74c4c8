"""Wires the orchestrator together and runs it until it is told to stop."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import grpc
import structlog
from agentmesh.event.v1 import event_service_pb2
from agentmesh.event.v1.event_service_pb2_grpc import add_EventServiceServicer_to_server
from agentmesh.execution.v1 import execution_service_pb2
from agentmesh.execution.v1.execution_service_pb2_grpc import add_ExecutionServiceServicer_to_server
from agentmesh.identity.v1 import identity_service_pb2
from agentmesh.identity.v1.identity_service_pb2_grpc import add_AuthServiceServicer_to_server
from agentmesh.registry.v1 import platform_service_pb2, registry_service_pb2
from agentmesh.registry.v1.platform_service_pb2_grpc import add_PlatformServiceServicer_to_server
from agentmesh.registry.v1.registry_service_pb2_grpc import add_RegistryServiceServicer_to_server
from agentmesh.workflow.v1 import workflow_service_pb2
from agentmesh.workflow.v1.workflow_service_pb2_grpc import add_WorkflowServiceServicer_to_server
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from definitions import reader
from definitions.catalogue import Catalogue
from definitions.report import log_problems
from definitions.watch import watch
from mesh.admission import Admission
from mesh.errors import ServiceUnavailable
from mesh.process import CannotStart
from mesh.readiness import announce
from mesh.rpc.interceptors.admission import AdmissionControl
from mesh.rpc.interceptors.authentication import Authentication
from mesh.rpc.interceptors.behaviour import OncePerMethod
from mesh.rpc.interceptors.errors import ErrorBoundary
from mesh.rpc.interceptors.permission import Permission
from mesh.rpc.interceptors.telemetry import Telemetry
from mesh.rpc.interceptors.validation import RequestValidation
from mesh.rpc.server import Health, add_reflection, build_server, drain
from mesh.rpc.server import listen as open_port
from mesh.security.certificates import TlsFolder
from mesh.security.identities import ORCHESTRATOR
from mesh.security.tls import ServerTls
from orchestrator.adapters.postgres import create_engine, migrate, unavailable
from orchestrator.adapters.probes import AgentHostsProbe, PostgresProbe, RedisProbe
from orchestrator.adapters.redis_bell import RedisBell
from orchestrator.assembly import build_calling, build_events, build_identity, build_limits, build_workflows
from orchestrator.events.servicer import EventServicer
from orchestrator.executions.servicer import ExecutionServicer
from orchestrator.platform.service import PlatformService
from orchestrator.platform.servicer import PlatformServicer
from orchestrator.registry.service import RegistryService
from orchestrator.registry.servicer import RegistryServicer
from orchestrator.settings import OrchestratorSettings, SharedSettings
from orchestrator.workflows.servicer import WorkflowServicer

log = structlog.get_logger()

MAX_REQUEST_BYTES = 4 * 1024 * 1024 + 64 * 1024
"""4 MiB of JSON make a smaller protobuf message; the rest is room for native callers' metadata fields."""
SERVICES = (
    event_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name,
    execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"].full_name,
    identity_service_pb2.DESCRIPTOR.services_by_name["AuthService"].full_name,
    registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"].full_name,
    platform_service_pb2.DESCRIPTOR.services_by_name["PlatformService"].full_name,
    workflow_service_pb2.DESCRIPTOR.services_by_name["WorkflowService"].full_name,
)


@dataclass(frozen=True, slots=True)
class Assembled:
    """What runs: the server, the catalogue that changes under it, and what ends the calls that have no end of their own."""

    registry: RegistryService
    server: grpc.aio.Server
    end_watches: Sequence[Callable[[], None]]


async def run(settings: OrchestratorSettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then drains: no call under way is lost, and every purchase is settled.

    Raises DefinitionsUnreadable, and CannotStart when there is no database or certificate to begin with.
    """
    tls = TlsFolder(settings.mesh_tls_dir, ORCHESTRATOR) if settings.mesh_tls_dir else None
    async with AsyncExitStack() as stack:
        engine = create_engine(settings.database_url, settings.db_pool_size, settings.db_max_overflow)
        stack.push_async_callback(engine.dispose)
        await prepare_database(engine)
        catalogue = reader.read(settings.definitions_path)
        log_problems(catalogue)
        assembled = await assemble(settings, stack, engine, catalogue, tls)
        server, health = assembled.server, Health(assembled.server)
        port = listen(server, settings, tls)
        await server.start()
        stack.push_async_callback(
            drain,
            [server],
            [health],
            notice_seconds=settings.drain_notice_seconds,
            grace_seconds=settings.drain_grace_seconds,
            end_watches=assembled.end_watches,
        )
        for service in ("", *SERVICES):
            await health.set(service, serving=True)
        announce(settings.ready_file, {"port": port})
        log.info("orchestrator_ready", port=port, agents=len(catalogue))
        await follow(assembled.registry, settings, catalogue, stop)


async def prepare_database(engine: AsyncEngine) -> None:
    """Brings the schema up to date. Raises CannotStart when there is no database to do it in."""
    try:
        with unavailable():
            await migrate(engine)
    except ServiceUnavailable as error:
        raise CannotStart("the database of DATABASE_URL cannot be reached; start it, or correct the URL") from error


def listen(server: grpc.aio.Server, settings: OrchestratorSettings, tls: TlsFolder | None) -> int:
    """Opens the port and returns it. Raises CannotStart when another program has it.

    Users come here too, with tokens and without certificates, so none is asked for.
    """
    server_tls = ServerTls(tls, clients_must_show_certificates=False) if tls else None
    try:
        return open_port(server, settings.host_address, settings.orchestrator_port, server_tls)
    except RuntimeError as error:
        message = f"ORCHESTRATOR_PORT={settings.orchestrator_port} is taken by another program; end it, or set another port"
        raise CannotStart(message) from error


async def assemble(
    settings: OrchestratorSettings, stack: AsyncExitStack, engine: AsyncEngine, catalogue: Catalogue, tls: TlsFolder | None
) -> Assembled:
    """Builds the services and the server that shows them; whatever must be closed goes on the stack."""
    redis = Redis.from_url(settings.redis_url)
    stack.push_async_callback(redis.aclose)
    bell = await stack.enter_async_context(RedisBell(redis))
    events = await build_events(settings, stack, engine, bell)
    calling = await build_calling(settings, stack, engine, catalogue, bell, ORCHESTRATOR, tls)
    registry, policy = calling.registry, calling.policy
    workflows, run_watch = await build_workflows(settings, stack, engine, registry, bell)
    probes = (PostgresProbe(engine), RedisProbe(redis), AgentHostsProbe(calling.agents, registry, settings.agent_shards))

    authenticator, revocations, auth = build_identity(settings, stack, engine, redis)
    limits = await build_limits(settings, stack, revocations)
    chain = (
        AdmissionControl(Admission(), "orchestrator"),
        OncePerMethod(),
        Telemetry(),
        ErrorBoundary(),
        Authentication(authenticator),
        limits,
        Permission(policy),
        RequestValidation(),
    )
    server = build_server(chain, max_request_bytes=MAX_REQUEST_BYTES)
    add_AuthServiceServicer_to_server(auth, server)
    add_RegistryServiceServicer_to_server(RegistryServicer(registry), server)
    add_ExecutionServiceServicer_to_server(ExecutionServicer(calling.executions), server)
    add_EventServiceServicer_to_server(EventServicer(events), server)
    add_WorkflowServiceServicer_to_server(WorkflowServicer(workflows), server)
    add_PlatformServiceServicer_to_server(PlatformServicer(PlatformService(probes)), server)
    add_reflection(server, SERVICES)
    return Assembled(registry, server, (events.stop, run_watch.stop))


async def follow(registry: RegistryService, settings: SharedSettings, catalogue: Catalogue, stop: asyncio.Event) -> None:
    """Shows each new catalogue as the definitions change, until `stop` is set."""
    async for changed in watch(settings.definitions_path, catalogue, stop):
        log_problems(changed)
        registry.renew(changed)
        log.info("definitions_reloaded", agents=len(changed))
    await stop.wait()
