"""`python -m orchestrator.worker`: one worker. It takes steps that are ready, calls their agents and records what they answer."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import structlog
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from definitions import reader
from definitions.catalogue import Catalogue
from definitions.report import log_problems
from mesh.process import run_process
from mesh.readiness import announce
from mesh.rpc.status import retryable
from mesh.security.certificates import TlsFolder
from mesh.security.identities import WORKER
from orchestrator.adapters.arq_doorbell import ArqDoorbell, ArqPorter
from orchestrator.adapters.postgres import create_engine
from orchestrator.adapters.postgres_ear import PostgresEar
from orchestrator.adapters.postgres_steps import Leases, PostgresStepStore
from orchestrator.adapters.redis_bell import RedisBell, TopicBell
from orchestrator.adapters.run_bell import RedisRunBell
from orchestrator.adapters.run_ledger import STOP_CHANNEL
from orchestrator.adapters.run_news import RunNews
from orchestrator.app import follow, prepare_database
from orchestrator.assembly import build_calling
from orchestrator.registry.service import RegistryService
from orchestrator.worker_settings import WorkerSettings
from orchestrator.workflows.engine.dispatcher import Dispatcher, Pace
from orchestrator.workflows.engine.performer import StepPerformer

UNHEARD_SECONDS = 60.0

log = structlog.get_logger()


async def run(settings: WorkerSettings, stop: asyncio.Event) -> None:
    """Works until `stop` is set; then its steps finish, or are handed back.

    Raises DefinitionsUnreadable, and CannotStart when there is no database to begin with.
    """
    async with AsyncExitStack() as stack:
        engine = create_engine(settings.database_url, settings.db_pool_size, settings.db_max_overflow)
        stack.push_async_callback(engine.dispose)
        await prepare_database(engine)
        catalogue = reader.read(settings.definitions_path)
        log_problems(catalogue)
        registry, dispatcher = await assemble(settings, stack, engine, catalogue)
        following = asyncio.create_task(follow(registry, settings, catalogue, stop))
        stack.callback(following.cancel)
        announce(settings.ready_file, {})
        log.info("worker_ready", slots=settings.worker_slots, agents=len(catalogue))
        await dispatcher.run(stop)


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


def main() -> None:
    """Works until told to stop."""
    run_process("worker", WorkerSettings, lambda: run)


if __name__ == "__main__":
    main()
