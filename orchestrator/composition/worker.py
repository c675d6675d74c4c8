"""Wires a worker."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from catalogue.catalogue import Catalogue
from mesh.rpc.status import retryable
from mesh.security.certificates import TlsFolder
from mesh.security.identities import WORKER
from orchestrator.adapters.postgres.listener import PostgresEar
from orchestrator.adapters.wakeups.arq_wakeup import ArqDoorbell, ArqPorter
from orchestrator.adapters.wakeups.redis_notifier import RedisBell, TopicBell
from orchestrator.adapters.workflows.announcements import RunNews
from orchestrator.adapters.workflows.ledger import STOP_CHANNEL
from orchestrator.adapters.workflows.notifier import RedisRunBell
from orchestrator.adapters.workflows.steps import Leases, PostgresStepStore
from orchestrator.composition.calling import build_calling
from orchestrator.composition.worker_settings import WorkerSettings
from orchestrator.registry.service import RegistryService
from orchestrator.workflows.engine.dispatcher import Dispatcher, Pace
from orchestrator.workflows.engine.performer import StepPerformer

UNHEARD_SECONDS = 60.0


async def assemble(
    settings: WorkerSettings, stack: AsyncExitStack, engine: AsyncEngine, catalogue: Catalogue
) -> tuple[RegistryService, Dispatcher]:
    """Builds what the dispatcher stands on; whatever must be closed goes on the stack."""
    redis = Redis.from_url(settings.redis_url)
    stack.push_async_callback(redis.aclose)
    bell = await stack.enter_async_context(RedisBell(redis))
    tls = TlsFolder(settings.mesh_tls_dir, WORKER) if settings.mesh_tls_dir else None
    calling = await build_calling(settings, stack, engine, catalogue, bell, WORKER, tls)
    news = RunNews(RedisRunBell(bell), TopicBell(bell, "outbox", hurry=False).ring)
    leases = Leases(settings.step_lease_seconds, settings.step_crash_limit)
    store = await stack.enter_async_context(PostgresStepStore(settings.database_url, uuid7(), leases, news))
    steps_bell = TopicBell(bell, "steps")
    doorbell = ArqDoorbell(settings.redis_url, steps_bell.ring)
    pace = Pace(
        slots=settings.worker_slots,
        lease=settings.step_lease_seconds,
        heartbeat=settings.step_heartbeat_seconds,
        poll=settings.step_poll_seconds,
        drain=settings.drain_grace_seconds,
    )
    dispatcher = Dispatcher(store, StepPerformer(calling.executions, retryable), doorbell, pace)
    porter = ArqPorter(settings.redis_url, settings.doorbell_poll_seconds, dispatcher.wake)
    ear = PostgresEar(settings.database_url, STOP_CHANNEL, dispatcher.look)
    for work in (doorbell.run(), porter.run(), ear.run(), _pass_on(steps_bell, dispatcher.wake)):
        stack.push_async_callback(_ended, asyncio.create_task(work))
    return calling.registry, dispatcher


async def _pass_on(bell: TopicBell, wake: Callable[[], None]) -> None:
    with bell.listen() as ear:
        while True:
            if await ear.wait(UNHEARD_SECONDS):
                wake()


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])
