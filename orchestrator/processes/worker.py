"""`python -m orchestrator.processes.worker`: one worker. It claims ready steps, calls their agents and records the answers."""

from contextlib import AsyncExitStack

import structlog

from catalogue.files.cache import DocumentCache
from catalogue.report import read_reported
from mesh.process import RunningProcess, run_process
from orchestrator.composition.database import open_database
from orchestrator.composition.definitions import follow
from orchestrator.composition.worker import assemble
from orchestrator.composition.worker_settings import WorkerSettings

log = structlog.get_logger()


async def run(settings: WorkerSettings, process: RunningProcess) -> None:
    """Works until the process is told to stop; then its steps finish or return to the queue.

    Raises DefinitionsUnreadable, or CannotStart if the database cannot be reached.
    """
    async with AsyncExitStack() as stack:
        engine = await open_database(stack, settings.database_url, settings.db_pool_size, settings.db_max_overflow)
        catalogue = read_reported(settings.definitions_path, DocumentCache.at(settings.definitions_cache))
        registry, dispatcher = await assemble(settings, stack, process.tasks, engine, catalogue)
        process.tasks.start_on(stack, "catalogue", follow(registry, settings, catalogue, process.stopping))
        await process.ready()
        log.info("worker_ready", slots=settings.worker_slots, agents=len(catalogue))
        await dispatcher.run(process.stopping)


def main() -> None:
    """The entry point: reads the settings and works until told to stop."""
    run_process("worker", WorkerSettings, lambda: run)


if __name__ == "__main__":
    main()
