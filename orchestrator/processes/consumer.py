"""`python -m orchestrator.processes.consumer`: consumes events from Kafka and counts them. Any number of processes share the work."""

from contextlib import AsyncExitStack

import structlog

from mesh.process import RunningProcess, run_process
from orchestrator.adapters.events.consumer_upkeep import ConsumerUpkeep
from orchestrator.adapters.events.counts import EventCounts
from orchestrator.adapters.events.kafka_consumer import EventConsumer
from orchestrator.composition.consumer_settings import ConsumerSettings
from orchestrator.composition.database import open_database

log = structlog.get_logger()

CONNECTIONS = 2


async def run(settings: ConsumerSettings, process: RunningProcess) -> None:
    """Consumes until the process is told to stop. Raises CannotStart if the database cannot be reached."""
    async with AsyncExitStack() as stack:
        engine = await open_database(stack, settings.database_url, CONNECTIONS, 0)
        handler = EventCounts()
        consumer = EventConsumer(settings.kafka_bootstrap_servers, engine, handler)
        upkeep = ConsumerUpkeep(engine, handler.name, settings.event_retention_days)
        # The batch in progress is rolled back when the process stops, and consumed again by the next consumer.
        process.tasks.start_on(stack, "event consumer", consumer.run())
        process.tasks.start_on(stack, "consumer upkeep", upkeep.run())
        await process.ready()
        log.info("consumer_ready", group=handler.name)
        await process.stopping.wait()


def main() -> None:
    """The entry point: reads the settings and consumes until told to stop."""
    run_process("consumer", ConsumerSettings, lambda: run)


if __name__ == "__main__":
    main()
