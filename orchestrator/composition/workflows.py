"""Wires the services for workflows and runs of an orchestrator."""

from contextlib import AsyncExitStack

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.tasks import BackgroundTasks
from orchestrator.adapters.executions.store import PostgresExecutionStore
from orchestrator.adapters.identity.authorities import PostgresAuthorities
from orchestrator.adapters.wakeups.arq_wakeup import ArqWakeup
from orchestrator.adapters.wakeups.redis_notifier import RedisNotifier, TopicNotifier
from orchestrator.adapters.workflows.commit_notifier import CommitNotifier
from orchestrator.adapters.workflows.live.reader import RedisLiveTextReader
from orchestrator.adapters.workflows.notifier import RedisRunNotifier
from orchestrator.adapters.workflows.runs import PostgresRunStore
from orchestrator.adapters.workflows.store import PostgresWorkflowStore
from orchestrator.composition.settings import OrchestratorSettings
from orchestrator.policy.service import PolicyService
from orchestrator.registry.service import RegistryService
from orchestrator.workflows.authority import RunAuthority
from orchestrator.workflows.background import BackgroundExecutions
from orchestrator.workflows.live.following import LiveTexts
from orchestrator.workflows.service import WorkflowService
from orchestrator.workflows.servicer import WorkflowServicer
from orchestrator.workflows.watch import RunWatch


async def build_workflows(
    settings: OrchestratorSettings,
    stack: AsyncExitStack,
    tasks: BackgroundTasks,
    engine: AsyncEngine,
    registry: RegistryService,
    policy: PolicyService,
    notifier: RedisNotifier,
    redis: Redis,
) -> tuple[WorkflowServicer, RunWatch]:
    """Builds the services for workflows and runs. Workers run the steps."""
    run_notifier, wakeup = RedisRunNotifier(notifier), ArqWakeup(settings.redis_url, TopicNotifier(notifier, "steps").notify)
    commit_notifier = CommitNotifier.of_process(run_notifier, TopicNotifier(notifier, "outbox", immediate=False).notify)
    runs = await stack.enter_async_context(PostgresRunStore(settings.database_url, engine, commit_notifier, wakeup, tasks))
    live = LiveTexts(RedisLiveTextReader(redis))
    run_watch = RunWatch(runs, run_notifier, live, tasks)
    tasks.start_on(stack, "live texts", live.read_forever())
    tasks.start_on(stack, "wakeups out", wakeup.run())
    tasks.start_on(stack, "watched runs", run_watch.poll_forever())
    authority = RunAuthority(PostgresAuthorities(engine), registry, policy)
    workflows, executions = PostgresWorkflowStore(engine), PostgresExecutionStore(engine)
    service = WorkflowService(registry, authority, workflows, runs, executions, run_watch, policy.administered)
    background = BackgroundExecutions(registry, policy, runs, workflows)
    return WorkflowServicer(service, background), run_watch
