"""Wires the event log and the relay."""

from contextlib import AsyncExitStack

from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.tasks import BackgroundTasks
from orchestrator.adapters.events.kafka_publisher import KafkaPublisher
from orchestrator.adapters.events.outbox_relay import OutboxRelay
from orchestrator.adapters.events.outbox_upkeep import OutboxUpkeep
from orchestrator.adapters.events.store import PostgresEventStore
from orchestrator.adapters.wakeups.redis_notifier import RedisNotifier, TopicNotifier
from orchestrator.composition.settings import OrchestratorSettings
from orchestrator.events.service import EventService
from orchestrator.events.tail import EventTail


async def build_events(
    settings: OrchestratorSettings, stack: AsyncExitStack, tasks: BackgroundTasks, engine: AsyncEngine, notifier: RedisNotifier
) -> EventService:
    """Builds the event log and this process's candidate for the relay."""
    outbox, log_notifier = TopicNotifier(notifier, "outbox", immediate=False), TopicNotifier(notifier, "events", immediate=False)
    publisher = KafkaPublisher(settings.kafka_bootstrap_servers) if settings.kafka_bootstrap_servers else None
    await stack.enter_async_context(OutboxRelay(settings.database_url, outbox, log_notifier, tasks, publisher))
    upkeep = OutboxUpkeep(engine, settings.event_retention_days, publishing=publisher is not None)
    store = PostgresEventStore(engine)
    tail = EventTail(store, log_notifier)
    tasks.start_on(stack, "outbox upkeep", upkeep.run())
    tasks.start_on(stack, "event log", tail.run())
    return EventService(store, tail)
