"""Builds the parts of the orchestrator, and of the workers, from their settings; whatever must be closed goes on the stack."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from definitions.catalogue import Catalogue
from definitions.model_names import ModelNames
from definitions.prices import PriceBook
from mesh.limits import Sessions
from mesh.process import CannotStart
from mesh.rpc.channel import ChannelPool
from mesh.rpc.interceptors.limits import Allowances, Limits
from mesh.rpc.peer import Peers
from mesh.rpc.status import retryable
from mesh.security.call_tokens import CallTokenSigner
from mesh.security.certificates import TlsFolder
from mesh.security.identities import AGENT_HOST
from mesh.security.tls import ClientTls
from mesh.security.tokens import AccessTokens
from orchestrator.adapters.arq_doorbell import ArqDoorbell
from orchestrator.adapters.bcrypt_passwords import BcryptPasswords
from orchestrator.adapters.grpc_agents import AgentAddresses, GrpcAgents
from orchestrator.adapters.identity_upkeep import IdentityUpkeep
from orchestrator.adapters.kafka_publisher import KafkaPublisher
from orchestrator.adapters.opa_policy import OpaPolicy
from orchestrator.adapters.outbox_relay import OutboxRelay
from orchestrator.adapters.outbox_upkeep import OutboxUpkeep
from orchestrator.adapters.postgres_denials import PostgresDenialLog
from orchestrator.adapters.postgres_events import PostgresEventStore
from orchestrator.adapters.postgres_executions import PostgresExecutionStore
from orchestrator.adapters.postgres_identity import PostgresIdentityStore
from orchestrator.adapters.postgres_recorder import PostgresRecorder
from orchestrator.adapters.postgres_runs import PostgresRunStore
from orchestrator.adapters.postgres_sweeper import Sweeper
from orchestrator.adapters.postgres_workflows import PostgresWorkflowStore
from orchestrator.adapters.redis_bell import RedisBell, TopicBell
from orchestrator.adapters.redis_limits import RedisLimits
from orchestrator.adapters.redis_revocations import RedisRevocations
from orchestrator.adapters.regopy_policy import PolicyUnreadable, RegopyPolicy
from orchestrator.adapters.run_bell import RedisRunBell
from orchestrator.adapters.run_news import RunNews
from orchestrator.adapters.sqlite_search import SqliteSearchIndex
from orchestrator.events.service import EventService
from orchestrator.events.tail import EventTail
from orchestrator.executions.books import Books
from orchestrator.executions.purchase import Purchases
from orchestrator.executions.service import ExecutionService
from orchestrator.identity.api_keys import ApiKeyService
from orchestrator.identity.authentication import Authenticator
from orchestrator.identity.service import IdentityService
from orchestrator.identity.servicer import AuthServicer
from orchestrator.identity.sessions import SessionTokens
from orchestrator.policy.ports import DenialLog
from orchestrator.policy.service import PolicyService
from orchestrator.registry.service import RegistryService
from orchestrator.settings import OrchestratorSettings, SharedSettings
from orchestrator.workflows.service import WorkflowService
from orchestrator.workflows.watch import RunWatch


@dataclass(frozen=True, slots=True)
class AgentCalling:
    """What calls agents, with the books of this process."""

    agents: GrpcAgents
    registry: RegistryService
    policy: PolicyService
    executions: ExecutionService


async def build_calling(
    settings: SharedSettings,
    stack: AsyncExitStack,
    engine: AsyncEngine,
    catalogue: Catalogue,
    bell: RedisBell,
    identity: str,
    tls: TlsFolder | None,
) -> AgentCalling:
    """What calls agents as the service of that identity (a SPIFFE id)."""
    prices = PriceBook.load()
    channels = ChannelPool(ClientTls(tls, AGENT_HOST) if tls else None)
    stack.push_async_callback(channels.close)
    addresses = AgentAddresses(settings.agent_host_template, settings.agent_shards, settings.port_offset)
    signer = CallTokenSigner(settings.call_token_signing_key, identity)
    agents = GrpcAgents(channels, addresses, signer, settings.cancel_grace_seconds)
    outbox = TopicBell(bell, "outbox", hurry=False)
    recorder = await stack.enter_async_context(PostgresRecorder(settings.database_url, settings.execution_lease_seconds, outbox.ring))
    stack.callback(asyncio.create_task(Sweeper(settings.database_url, settings.sweep_seconds).run()).cancel)
    books = Books(prices, retryable)
    purchases = Purchases(recorder, agents, books)
    stack.push_async_callback(purchases.drain)
    registry = RegistryService(catalogue, ModelNames(prices, settings.model_default), settings.port_offset, SqliteSearchIndex, agents)
    policy = await build_policy(settings, stack, await stack.enter_async_context(PostgresDenialLog(engine)))
    executions = ExecutionService(registry, policy, purchases, books, PostgresExecutionStore(engine))
    return AgentCalling(agents, registry, policy, executions)


async def build_workflows(
    settings: OrchestratorSettings, stack: AsyncExitStack, engine: AsyncEngine, registry: RegistryService, bell: RedisBell
) -> tuple[WorkflowService, RunWatch]:
    """Workflows and runs as their users see them; the steps are the worker's."""
    run_bell, doorbell = RedisRunBell(bell), ArqDoorbell(settings.redis_url, TopicBell(bell, "steps").ring)
    news = RunNews(run_bell, TopicBell(bell, "outbox", hurry=False).ring)
    runs = await stack.enter_async_context(PostgresRunStore(settings.database_url, engine, news, doorbell))
    run_watch = RunWatch(runs, run_bell)
    for work in (doorbell.run(), run_watch.look_forever()):
        stack.callback(asyncio.create_task(work).cancel)
    return WorkflowService(registry, PostgresWorkflowStore(engine), runs, run_watch), run_watch


async def build_events(settings: OrchestratorSettings, stack: AsyncExitStack, engine: AsyncEngine, bell: RedisBell) -> EventService:
    """The log of events, with this process's candidate for the relay."""
    outbox, log_bell = TopicBell(bell, "outbox", hurry=False), TopicBell(bell, "events", hurry=False)
    publisher = KafkaPublisher(settings.kafka_bootstrap_servers) if settings.kafka_bootstrap_servers else None
    await stack.enter_async_context(OutboxRelay(settings.database_url, outbox, log_bell, publisher))
    upkeep = OutboxUpkeep(engine, settings.event_retention_days, publishing=publisher is not None)
    store = PostgresEventStore(engine)
    tail = EventTail(store, log_bell)
    for work in (upkeep.run(), tail.run()):
        stack.callback(asyncio.create_task(work).cancel)
    return EventService(store, tail)


async def build_policy(settings: SharedSettings, stack: AsyncExitStack, denials: DenialLog) -> PolicyService:
    """The policy of OPA_URL, or else that of POLICY_PATH. Raises CannotStart for a folder without one."""
    if settings.opa_url is not None:
        return PolicyService(await stack.enter_async_context(OpaPolicy(settings.opa_url)), denials)
    try:
        return PolicyService(RegopyPolicy(settings.policy_path), denials)
    except PolicyUnreadable as error:
        raise CannotStart(f"POLICY_PATH: {error}") from error


async def build_limits(settings: OrchestratorSettings, stack: AsyncExitStack, sessions: Sessions) -> Limits:
    """The limits as they are set, counted in Redis."""
    allowances = Allowances(
        agent_calls=settings.limit_agent_calls,
        agent_calls_of_key=settings.limit_agent_calls_of_key,
        agent_calls_in_flight=settings.limit_agent_calls_in_flight,
        other_calls=settings.limit_calls,
        open_calls_of_address=settings.limit_open_calls_of_address,
        logins=settings.limit_logins,
        logins_of_address=settings.limit_logins_of_address,
    )
    limiter = await stack.enter_async_context(RedisLimits(settings.redis_url))
    return Limits(limiter, sessions, allowances, Peers(settings.proxies))


def build_identity(
    settings: OrchestratorSettings, stack: AsyncExitStack, engine: AsyncEngine, redis: Redis
) -> tuple[Authenticator, RedisRevocations, AuthServicer]:
    """Builds what knows callers, and the service that shows it."""
    access = AccessTokens(settings.jwt_secrets, settings.jwt_expiry_minutes * 60)
    store = PostgresIdentityStore(engine, settings.refresh_expiry_days)
    passwords = stack.enter_context(BcryptPasswords(settings.bcrypt_rounds))
    revocations = RedisRevocations(redis, store)
    for work in (revocations.follow(), IdentityUpkeep(engine).run()):
        stack.callback(asyncio.create_task(work).cancel)
    authenticator = Authenticator(access, store)
    service = IdentityService(store, passwords, SessionTokens(access, settings.jwt_secrets), revocations)
    keys = ApiKeyService(store, authenticator.forget_key)
    return authenticator, revocations, AuthServicer(service, keys, Peers(settings.proxies))
