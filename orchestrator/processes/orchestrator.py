"""`python -m orchestrator.processes.orchestrator`: one orchestrator."""

from contextlib import AsyncExitStack
from functools import partial

import grpc
import structlog

from catalogue.files.cache import DocumentCache, EntryFolder
from catalogue.report import read_reported
from catalogue.search.index import SearchIndex
from mesh.errors import CannotStart
from mesh.process import RunningProcess, run_process
from mesh.rpc.serving.server import Health, drain
from mesh.rpc.serving.server import listen as open_port
from mesh.security.certificates import TlsFolder
from mesh.security.identities import ORCHESTRATOR
from mesh.security.tls import ServerTls
from orchestrator.composition.database import open_database
from orchestrator.composition.definitions import follow
from orchestrator.composition.orchestrator import SERVICES, assemble
from orchestrator.composition.settings import OrchestratorSettings

log = structlog.get_logger()


async def run(settings: OrchestratorSettings, process: RunningProcess) -> None:
    """Serves until the process is told to stop, then drains: no call in progress is lost, and every purchase is settled.

    Raises DefinitionsUnreadable, or CannotStart if the database or a certificate cannot be used.
    """
    tasks = process.tasks
    tls = TlsFolder(settings.mesh_tls_dir, ORCHESTRATOR) if settings.mesh_tls_dir else None
    async with AsyncExitStack() as stack:
        engine = await open_database(stack, settings.database_url, settings.db_pool_size, settings.db_max_overflow)
        catalogue = read_reported(settings.definitions_path, DocumentCache.at(settings.definitions_cache))
        assembled = await assemble(settings, stack, tasks, engine, catalogue, tls)
        server, health = assembled.server, Health(assembled.server)
        port = listen(server, settings, tls)
        await server.start()

        async def stop() -> None:
            # Without lease renewal, the sweeper of another process would settle calls that are still running here.
            notice, grace = (0, 0) if tasks.urgent else (settings.drain_notice_seconds, settings.drain_grace_seconds)
            await drain([server], [health], notice_seconds=notice, grace_seconds=grace, end_watches=assembled.end_watches)

        stack.push_async_callback(stop)
        build_index = partial(SearchIndex, kept=EntryFolder.at(settings.definitions_cache))
        tasks.start_on(stack, "catalogue", follow(assembled.registry, settings, catalogue, process.stopping, build_index))
        for service in ("", *SERVICES):
            await health.set(service, serving=True)
        await process.ready(port=port)
        log.info("orchestrator_ready", port=port, agents=len(catalogue))
        await process.stopping.wait()


def listen(server: grpc.aio.Server, settings: OrchestratorSettings, tls: TlsFolder | None) -> int:
    """Opens the port and returns it. Raises CannotStart if another program uses it.

    Users call this port too, with tokens and without certificates, so it requests no client certificate.
    """
    server_tls = ServerTls(tls, clients_must_show_certificates=False) if tls else None
    try:
        return open_port(server, settings.host_address, settings.orchestrator_port, server_tls)
    except RuntimeError as error:
        message = f"ORCHESTRATOR_PORT={settings.orchestrator_port} is in use by another program; stop that program, or set another port"
        raise CannotStart(message) from error


def main() -> None:
    """The entry point: reads the settings and serves until told to stop."""
    run_process("orchestrator", OrchestratorSettings, lambda: run)


if __name__ == "__main__":
    main()
