"""Wires workflows and runs, as the orchestrator serves them."""

import asyncio
from contextlib import AsyncExitStack

from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.adapters.wakeups.arq_wakeup import ArqDoorbell
from orchestrator.adapters.wakeups.redis_notifier import RedisBell, TopicBell
from orchestrator.adapters.workflows.announcements import RunNews
from orchestrator.adapters.workflows.notifier import RedisRunBell
from orchestrator.adapters.workflows.runs import PostgresRunStore
from orchestrator.adapters.workflows.store import PostgresWorkflowStore
from orchestrator.composition.settings import OrchestratorSettings
from orchestrator.registry.service import RegistryService
from orchestrator.workflows.service import WorkflowService
from orchestrator.workflows.watch import RunWatch


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
