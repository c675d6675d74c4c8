"""Wires the services that call agents and record executions, for orchestrators and workers."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from catalogue.catalogue import Catalogue
from catalogue.onet import load_tasks
from catalogue.pricing.model_names import ModelNames
from catalogue.pricing.prices import PriceBook
from mesh.rpc.channel import ChannelPool
from mesh.rpc.status import retryable
from mesh.security.call_tokens import CallTokenSigner
from mesh.security.certificates import TlsFolder
from mesh.security.identities import AGENT_HOST
from mesh.security.tls import ClientTls
from mesh.tasks import BackgroundTasks
from mesh.tracing.process import tracer
from orchestrator.adapters.analytics.measured import MeasuredAgents
from orchestrator.adapters.analytics.typical import PostgresTypicalFigures
from orchestrator.adapters.executions.agents import AgentAddresses, GrpcAgents
from orchestrator.adapters.executions.recorder import PostgresRecorder
from orchestrator.adapters.executions.store import PostgresExecutionStore
from orchestrator.adapters.executions.sweeper import Sweeper
from orchestrator.adapters.executions.traced import TracedAgents, TracedRecorder
from orchestrator.adapters.policy.denial_log import PostgresDenialLog
from orchestrator.adapters.wakeups.redis_notifier import RedisNotifier, TopicNotifier
from orchestrator.composition.policy import build_policy
from orchestrator.composition.settings import SharedSettings
from orchestrator.executions.books import Books
from orchestrator.executions.estimates import CallEstimates
from orchestrator.executions.purchase import Purchases
from orchestrator.executions.service import ExecutionService
from orchestrator.policy.service import PolicyService
from orchestrator.registry.ports import SearchIndex
from orchestrator.registry.recommending import Recommender
from orchestrator.registry.service import RegistryService


@dataclass(frozen=True, slots=True)
class AgentCalling:
    agents: GrpcAgents
    registry: RegistryService
    policy: PolicyService
    executions: ExecutionService
    estimates: CallEstimates


async def build_calling(
    settings: SharedSettings,
    stack: AsyncExitStack,
    tasks: BackgroundTasks,
    engine: AsyncEngine,
    catalogue: Catalogue,
    notifier: RedisNotifier,
    identity: str,
    tls: TlsFolder | None,
    index: SearchIndex | None = None,
) -> AgentCalling:
    """Builds the services that call agents under `identity`, a SPIFFE id. `index` is for processes that serve searches."""
    prices = PriceBook.load()
    channels = ChannelPool(tasks, ClientTls(tls, AGENT_HOST) if tls else None)
    stack.push_async_callback(channels.close)
    addresses = AgentAddresses(settings.agent_host_template, settings.agent_shards, settings.port_offset)
    signer = CallTokenSigner(settings.call_token_signing_key, identity)
    agents = GrpcAgents(channels, addresses, signer, settings.cancel_grace_seconds, tasks)
    outbox = TopicNotifier(notifier, "outbox", immediate=False)
    recorder = PostgresRecorder(settings.database_url, settings.execution_lease_seconds, tasks, outbox.notify)
    await stack.enter_async_context(recorder)
    tasks.start_on(stack, "execution sweeper", Sweeper(settings.database_url, settings.sweep_seconds).run())
    books = Books(prices, retryable)
    traces = tracer()
    purchases = (
        Purchases(recorder, agents, books)
        if traces is None
        else Purchases(TracedRecorder(recorder, traces), TracedAgents(agents, traces), books)
    )
    stack.push_async_callback(purchases.drain)
    estimates = CallEstimates(books, PostgresTypicalFigures(engine))
    recommender = Recommender(estimates, load_tasks()) if index else None
    measured = MeasuredAgents(engine)
    if index:
        tasks.start_on(stack, "measured agents", measured.run())
    registry = RegistryService(
        catalogue, ModelNames(prices, settings.model_default), settings.port_offset, agents, index, recommender, measured=measured
    )
    policy = await build_policy(settings, stack, await stack.enter_async_context(PostgresDenialLog(engine, tasks)))
    executions = ExecutionService(registry, policy, purchases, books, PostgresExecutionStore(engine))
    return AgentCalling(agents, registry, policy, executions, estimates)
