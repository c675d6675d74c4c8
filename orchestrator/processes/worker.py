"""`python -m orchestrator.processes.worker`: one worker. It takes steps that are ready, calls their agents and records what they answer."""

import asyncio
from contextlib import AsyncExitStack

import structlog

from catalogue.files import reader
from catalogue.report import log_problems
from mesh.process import run_process
from mesh.readiness import announce
from orchestrator.adapters.postgres.engine import create_engine
from orchestrator.composition.database import prepare_database
from orchestrator.composition.definitions import follow
from orchestrator.composition.worker import assemble
from orchestrator.composition.worker_settings import WorkerSettings

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


def main() -> None:
    """Works until told to stop."""
    run_process("worker", WorkerSettings, lambda: run)


if __name__ == "__main__":
    main()
