"""Wires the orchestrator."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import grpc
from agentmesh.analytics.v1 import analytics_service_pb2
from agentmesh.analytics.v1.analytics_service_pb2_grpc import add_AnalyticsServiceServicer_to_server
from agentmesh.event.v1 import event_service_pb2
from agentmesh.event.v1.event_service_pb2_grpc import add_EventServiceServicer_to_server
from agentmesh.execution.v1 import execution_service_pb2
from agentmesh.execution.v1.execution_service_pb2_grpc import add_ExecutionServiceServicer_to_server
from agentmesh.health.v1 import health_service_pb2
from agentmesh.health.v1.health_service_pb2_grpc import add_HealthServiceServicer_to_server
from agentmesh.identity.v1 import identity_service_pb2
from agentmesh.identity.v1.identity_service_pb2_grpc import add_AuthServiceServicer_to_server
from agentmesh.registry.v1 import registry_service_pb2
from agentmesh.registry.v1.registry_service_pb2_grpc import add_RegistryServiceServicer_to_server
from agentmesh.workflow.v1 import workflow_service_pb2
from agentmesh.workflow.v1.workflow_service_pb2_grpc import add_WorkflowServiceServicer_to_server
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from catalogue.catalogue import Catalogue
from catalogue.files.cache import EntryFolder
from catalogue.search.index import SearchIndex
from mesh.limits.admission import Admission
from mesh.rpc.interceptors.admission import AdmissionControl
from mesh.rpc.interceptors.authentication import Authentication
from mesh.rpc.interceptors.chain import chain
from mesh.rpc.interceptors.open_streams import OpenStreams, StreamAllowances
from mesh.rpc.interceptors.permission import Permission
from mesh.rpc.peer import Peers
from mesh.rpc.requests.request_limits import RequestLimits
from mesh.rpc.serving.server import ConnectionLimits, add_reflection, build_server
from mesh.security.certificates import TlsFolder
from mesh.security.identities import ORCHESTRATOR
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.analytics.store import PostgresUsageStore
from orchestrator.adapters.health.probes import AgentHostsProbe, PostgresProbe, RedisProbe
from orchestrator.adapters.retention.retention import Retention, RetentionUpkeep
from orchestrator.adapters.wakeups.redis_notifier import RedisNotifier
from orchestrator.analytics.service import AnalyticsService
from orchestrator.analytics.servicer import AnalyticsServicer
from orchestrator.composition.calling import build_calling
from orchestrator.composition.events import build_events
from orchestrator.composition.identity import build_identity
from orchestrator.composition.limits import build_failed_credentials, build_limits
from orchestrator.composition.settings import OrchestratorSettings
from orchestrator.composition.workflows import build_workflows
from orchestrator.events.servicer import EventServicer
from orchestrator.executions.estimates import Estimates
from orchestrator.executions.servicer import ExecutionServicer
from orchestrator.health.service import HealthService
from orchestrator.health.servicer import HealthServicer
from orchestrator.registry.service import RegistryService
from orchestrator.registry.servicer import RegistryServicer

MAX_REQUEST_BYTES = 4 * 1024 * 1024 + 64 * 1024
"""A JSON body of 4 MiB becomes a smaller protobuf message. The rest leaves room for the metadata fields of gRPC callers."""
SERVICES = (
    analytics_service_pb2.DESCRIPTOR.services_by_name["AnalyticsService"].full_name,
    event_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name,
    execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"].full_name,
    identity_service_pb2.DESCRIPTOR.services_by_name["AuthService"].full_name,
    registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"].full_name,
    health_service_pb2.DESCRIPTOR.services_by_name["HealthService"].full_name,
    workflow_service_pb2.DESCRIPTOR.services_by_name["WorkflowService"].full_name,
)


@dataclass(frozen=True, slots=True)
class Assembled:
    """The server, the registry to update, and the functions that end watches."""

    registry: RegistryService
    server: grpc.aio.Server
    end_watches: Sequence[Callable[[], None]]


def retention(settings: OrchestratorSettings) -> Retention:
    """The retention periods of the settings."""
    return Retention(
        executions=settings.execution_retention_days,
        runs=settings.run_retention_days,
        run_changes=settings.run_change_retention_days,
        audit=settings.audit_retention_days,
        usage=settings.usage_retention_days,
    )


async def assemble(
    settings: OrchestratorSettings,
    stack: AsyncExitStack,
    tasks: BackgroundTasks,
    engine: AsyncEngine,
    catalogue: Catalogue,
    tls: TlsFolder | None,
) -> Assembled:
    """Builds the services and their server. Resources that must be closed are pushed onto the stack."""
    redis = Redis.from_url(settings.redis_url)
    stack.push_async_callback(redis.aclose)
    notifier = await stack.enter_async_context(RedisNotifier(redis, tasks))
    events = await build_events(settings, stack, tasks, engine, notifier)
    index = SearchIndex(catalogue.agents, EntryFolder.at(settings.definitions_cache))
    calling = await build_calling(settings, stack, tasks, engine, catalogue, notifier, ORCHESTRATOR, tls, index)
    registry, policy = calling.registry, calling.policy
    workflows, run_watch = await build_workflows(settings, stack, tasks, engine, registry, policy, notifier, redis)
    database = PostgresProbe(engine, settings.database_url)
    stack.push_async_callback(database.close)
    probes = (database, RedisProbe(redis), AgentHostsProbe(calling.agents, registry, settings.agent_shards))

    authenticator, revocations, auth = build_identity(settings, stack, tasks, engine, redis, policy)
    tasks.start_on(stack, "retention", RetentionUpkeep(engine, retention(settings)).run())
    limits = await build_limits(settings, stack, tasks, revocations)
    peers = Peers(settings.gateway_secrets)
    authentication = Authentication(authenticator, build_failed_credentials(settings), peers)
    streams = OpenStreams(
        peers,
        StreamAllowances(
            settings.limit_streams_of_user, settings.limit_streams_of_address, settings.limit_streams, settings.limit_anonymous_streams
        ),
    )
    request_limits = RequestLimits(settings.limit_context_bytes, settings.limit_context_nodes)
    admission = AdmissionControl(Admission(), "orchestrator", authentication.knows)
    interceptors = chain(authentication, limits, streams, Permission(policy), admission=admission, limits=request_limits)
    connections = ConnectionLimits(settings.limit_connections)
    server = build_server(interceptors, max_request_bytes=MAX_REQUEST_BYTES, connections=connections)
    add_AuthServiceServicer_to_server(auth, server)
    add_RegistryServiceServicer_to_server(RegistryServicer(registry), server)
    estimates = Estimates(registry, policy, calling.estimates)
    add_ExecutionServiceServicer_to_server(ExecutionServicer(calling.executions, estimates), server)
    add_EventServiceServicer_to_server(EventServicer(events), server)
    add_WorkflowServiceServicer_to_server(workflows, server)
    usage = PostgresUsageStore(engine, settings.usage_retention_days)
    add_AnalyticsServiceServicer_to_server(AnalyticsServicer(AnalyticsService(usage, settings.usage_retention_days)), server)
    add_HealthServiceServicer_to_server(HealthServicer(HealthService(probes, tasks.stopping.is_set)), server)
    add_reflection(server, SERVICES)
    return Assembled(registry, server, (events.stop, run_watch.stop))
