"""`python -m orchestrator.processes.consumer`: counts the events that Kafka brings. Any number of processes share the work."""

import asyncio
from contextlib import AsyncExitStack

import structlog

from mesh.process import run_process
from mesh.readiness import announce
from orchestrator.adapters.events.consumer_upkeep import ConsumerUpkeep
from orchestrator.adapters.events.counts import EventCounts
from orchestrator.adapters.events.kafka_consumer import EventConsumer
from orchestrator.adapters.postgres.engine import create_engine
from orchestrator.composition.consumer_settings import ConsumerSettings
from orchestrator.composition.database import prepare_database

log = structlog.get_logger()

CONNECTIONS = 2


async def run(settings: ConsumerSettings, stop: asyncio.Event) -> None:
    """Consumes until `stop` is set. Raises CannotStart when there is no database to begin with."""
    async with AsyncExitStack() as stack:
        engine = create_engine(settings.database_url, CONNECTIONS, 0)
        stack.push_async_callback(engine.dispose)
        await prepare_database(engine)
        handler = EventCounts()
        consumer = EventConsumer(settings.kafka_bootstrap_servers, engine, handler)
        upkeep = ConsumerUpkeep(engine, handler.name, settings.event_retention_days)
        tasks = [asyncio.create_task(work) for work in (consumer.run(), upkeep.run())]
        announce(settings.ready_file, {})
        log.info("consumer_ready", group=handler.name)
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)  # what is under way is undone, and consumed by the next one
        for ended in done:
            await ended  # neither ends by itself: it has failed, and the process with it


def main() -> None:
    """Consumes until told to stop."""
    run_process("consumer", ConsumerSettings, lambda: run)


if __name__ == "__main__":
    main()
