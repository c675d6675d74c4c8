"""Wires a worker."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from catalogue.catalogue import Catalogue
from mesh.limits.limiter import Charge
from mesh.rpc.access import RpcKind
from mesh.rpc.interceptors.limits import Allowances, charges_of
from mesh.rpc.status import retryable
from mesh.security.caller import Caller
from mesh.security.certificates import TlsFolder
from mesh.security.identities import WORKER
from mesh.tasks import BackgroundTasks
from mesh.tracing.process import tracer
from orchestrator.adapters.analytics.rollup import UsageRollup
from orchestrator.adapters.identity.authorities import PostgresAuthorities
from orchestrator.adapters.limits.redis_buckets import RedisLimits
from orchestrator.adapters.postgres.listener import PostgresListener
from orchestrator.adapters.wakeups.arq_wakeup import ArqWakeup, ArqWakeupListener
from orchestrator.adapters.wakeups.redis_notifier import RedisNotifier, TopicNotifier
from orchestrator.adapters.workflows.claims.claims import Shares
from orchestrator.adapters.workflows.commit_notifier import CommitNotifier
from orchestrator.adapters.workflows.ledger import STOP_CHANNEL
from orchestrator.adapters.workflows.live.writer import RedisLiveTextWriter
from orchestrator.adapters.workflows.notifier import RedisRunNotifier
from orchestrator.adapters.workflows.steps import Leases, PostgresStepStore
from orchestrator.adapters.workflows.traced_steps import TracedPerformer
from orchestrator.composition.calling import build_calling
from orchestrator.composition.worker_settings import WorkerSettings
from orchestrator.identity.model import Principal
from orchestrator.registry.service import RegistryService
from orchestrator.workflows.authority import RunAuthority
from orchestrator.workflows.engine.dispatcher import Dispatcher, Pace, Performer, most_of_one_user
from orchestrator.workflows.engine.performer import StepPerformer
from orchestrator.workflows.engine.tokens import ChargesOf, OwnerTokens

UNHEARD_SECONDS = 60.0


async def assemble(
    settings: WorkerSettings, stack: AsyncExitStack, tasks: BackgroundTasks, engine: AsyncEngine, catalogue: Catalogue
) -> tuple[RegistryService, Dispatcher]:
    """Builds the dispatcher and its dependencies. Resources that must be closed are pushed onto the stack."""
    redis = Redis.from_url(settings.redis_url)
    stack.push_async_callback(redis.aclose)
    notifier = await stack.enter_async_context(RedisNotifier(redis, tasks))
    tls = TlsFolder(settings.mesh_tls_dir, WORKER) if settings.mesh_tls_dir else None
    calling = await build_calling(settings, stack, tasks, engine, catalogue, notifier, WORKER, tls)
    commit_notifier = CommitNotifier.of_process(RedisRunNotifier(notifier), TopicNotifier(notifier, "outbox", immediate=False).notify)
    leases = Leases(settings.step_lease_seconds, settings.step_crash_limit)
    shares = Shares(settings.limit_steps_in_flight, most_of_one_user(settings.worker_slots))
    tokens = OwnerTokens(await stack.enter_async_context(RedisLimits(settings.redis_url, tasks)), _charges(settings))
    store = PostgresStepStore(settings.database_url, uuid7(), leases, shares, tokens, commit_notifier, tasks)
    await stack.enter_async_context(store)
    steps_notifier = TopicNotifier(notifier, "steps")
    wakeup = ArqWakeup(settings.redis_url, steps_notifier.notify)
    pace = Pace(
        slots=settings.worker_slots,
        lease=settings.step_lease_seconds,
        heartbeat=settings.step_heartbeat_seconds,
        poll=settings.step_poll_seconds,
        drain=settings.drain_grace_seconds,
    )
    authority = RunAuthority(PostgresAuthorities(engine), calling.registry, calling.policy)
    live = RedisLiveTextWriter(redis, settings.live_text_bytes)
    performer: Performer = StepPerformer(calling.executions, authority, retryable, live)
    if (traces := tracer()) is not None:
        performer = TracedPerformer(performer, traces)
    dispatcher = Dispatcher(store, performer, wakeup, pace, tasks)
    wakeup_listener = ArqWakeupListener(settings.redis_url, settings.wakeup_poll_seconds, dispatcher.wake)
    subscription = PostgresListener(settings.database_url, STOP_CHANNEL, dispatcher.check_leases)
    tasks.start_on(stack, "usage rollup", UsageRollup(settings.database_url, calling.registry.category_of).run())
    tasks.start_on(stack, "live texts", live.run())
    tasks.start_on(stack, "wakeups out", wakeup.run())
    tasks.start_on(stack, "wakeups in", wakeup_listener.run())
    tasks.start_on(stack, "stopped steps", subscription.run())
    tasks.start_on(stack, "ready steps", _pass_on(steps_notifier, dispatcher.wake))
    return calling.registry, dispatcher


def _charges(settings: WorkerSettings) -> ChargesOf:
    allowances = Allowances(agent_calls=settings.limit_agent_calls, agent_calls_of_key=settings.limit_agent_calls_of_key)

    def charges(principal: Principal) -> Sequence[Charge]:
        caller = Caller(principal.user_id, "", api_key_id=principal.api_key_id)
        return charges_of(caller, RpcKind.AGENT_CALL, allowances)

    return charges


async def _pass_on(notifier: TopicNotifier, wake: Callable[[], None]) -> None:
    with notifier.subscribe() as subscription:
        while True:
            if await subscription.wait(UNHEARD_SECONDS):
                wake()
