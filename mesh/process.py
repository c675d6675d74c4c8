"""Runs one process of the mesh: reads its settings, then runs its main coroutine on uvloop until SIGTERM or SIGINT."""

import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Timer
from typing import TypeVar

import uvloop
from pydantic import ValidationError

from mesh import failpoints
from mesh.errors import CannotStart, MeshError
from mesh.loop_lag import measure_loop_lag
from mesh.readiness import announce
from mesh.rpc.serving.health_port import HealthPort
from mesh.settings import MeshSettings, explain
from mesh.tasks import BackgroundTasks, TaskFailure, awaited
from mesh.telemetry import configure_logging, serve_metrics
from mesh.tracing.process import tracing

S = TypeVar("S", bound=MeshSettings)
END_SECONDS = 30.0
"""How much longer than its drain a process may take to end after one of its tasks has failed."""
OPEN_FILES = 65_536
"""What `raise_open_files` asks for. An agent host listens on up to 800 ports, and each connection is a file too."""


class RunningProcess:
    """What the main coroutine of a process gets: its background tasks, and the way to report that it is ready."""

    def __init__(self, tasks: BackgroundTasks, health: HealthPort | None = None, ready_file: Path | None = None) -> None:
        self.tasks = tasks
        self._health = health
        self._ready_file = ready_file

    @property
    def stopping(self) -> asyncio.Event:
        """Set when the process must stop."""
        return self.tasks.stopping

    async def ready(self, **facts: object) -> None:
        """Reports SERVING on the health port and writes `facts` to the ready file."""
        spare_the_collector()  # what was loaded since the start, such as the catalogue, stays as well
        port = None
        if self._health is not None:
            await self._health.set(serving=True)
            port = self._health.port
        announce(self._ready_file, facts if port is None else {**facts, "health_port": port})


Run = Callable[[S, RunningProcess], Awaitable[None]]


def run_process(service: str, settings_type: type[S], load_run: Callable[[], Run[S]]) -> None:
    """Reads the settings and runs what `load_run` returns until the process is told to stop.

    Exits with 2 and one line on standard error if the process cannot start, and with 1 if a background task ended unexpectedly.
    `load_run` is called only once the settings are known to be valid, because its imports may take seconds.
    """
    try:
        settings = _settings(settings_type)
        configure_logging(service, settings.log_format)
        _serve_metrics(settings)
        prefer_running_threads()
        with tracing(service, settings):
            run = load_run()
            raise_open_files()
            spare_the_collector()
            failure = run_until_stopped(partial(_serve, settings, run))
    except MeshError as error:
        sys.stderr.write(f"{service}: {error.message}\n")
        sys.exit(2)
    if failure is not None:
        sys.stderr.write(f"{service}: stopped because the background task {failure.name!r} ended unexpectedly\n")
        sys.exit(1)


def run_until_stopped(main: Callable[[BackgroundTasks], Awaitable[None]]) -> TaskFailure | None:
    """Runs `main`, whose tasks a signal to stop tells to stop; returns the failure that stopped it, if there was one."""

    async def guarded() -> TaskFailure | None:
        tasks = BackgroundTasks()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, tasks.stopping.set)
        await main(tasks)
        return tasks.failure

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(guarded())


async def _serve(settings: S, run: Run[S], tasks: BackgroundTasks) -> None:
    async with HealthPort(settings.health_port, settings.health_address) as health:
        lag = tasks.start("event loop lag", measure_loop_lag())
        main = awaited(_main(run, settings, RunningProcess(tasks, health, settings.ready_file)))
        stopping = awaited(tasks.stopping.wait())
        await asyncio.wait({main, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await health.set(serving=False)
        if tasks.failure is not None:
            _end_within(settings.drain_grace_seconds + END_SECONDS)
        await tasks.stop(lag)
        await main


async def _main(run: Run[S], settings: S, process: RunningProcess) -> None:
    await run(settings, process)


def _end_within(seconds: float) -> None:
    """Ends the process after `seconds` even if its shutdown hangs. No supervisor would, because none has sent it SIGTERM."""
    timer = Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()


def raise_open_files() -> None:
    """Raises the soft limit on open files towards OPEN_FILES, as far as the hard limit allows.

    Container runtimes start programs with a soft limit of 1,024, which 800 ports and their callers exceed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def spare_the_collector() -> None:
    """Collects cycles less often, and excludes everything imported or loaded so far. Two calls reach the default threshold, 700 objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def prefer_running_threads() -> None:
    """Lets the running thread continue when another thread of this process wakes up (SCHED_BATCH, sched(7)).

    Threads that start later inherit the policy. gRPC's threads wake each other about twenty times per call. If they do not preempt each
    other as well, each wake-up handles more work, and a call takes 5 % less CPU.
    """
    if hasattr(os, "sched_setscheduler"):  # Linux
        with suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _settings(settings_type: type[S]) -> S:
    try:
        settings = settings_type()
        failpoints.arm(settings.failpoints)
    except ValidationError as error:
        raise CannotStart(explain(error)) from None
    except ValueError as error:
        raise CannotStart(str(error)) from None
    return settings


def _serve_metrics(settings: MeshSettings) -> None:
    try:
        serve_metrics(settings.host_address, settings.metrics_port)
    except OSError as error:
        message = f"cannot listen on METRICS_PORT {settings.metrics_port}: {error.strerror}; set it to a free port"
        raise CannotStart(message) from error
