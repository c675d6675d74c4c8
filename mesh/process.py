"""Runs one of our processes: its settings from the environment, its main coroutine on uvloop until SIGTERM or SIGINT."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import uvloop
from pydantic import ValidationError

from mesh import failpoints
from mesh.errors import MeshError
from mesh.settings import MeshSettings, explain
from mesh.telemetry import configure_logging, serve_metrics

S = TypeVar("S", bound=MeshSettings)
Run = Callable[[S, asyncio.Event], Awaitable[None]]


class CannotStart(MeshError):
    """The process cannot start; the message says what to mend."""


def run_process(service: str, settings_type: type[S], load_run: Callable[[], Run[S]]) -> None:
    """Reads the settings and runs what `load_run` returns until told to stop; exits with 2 and one line when it cannot start.

    `load_run` is called once the settings are known to be good: what it imports may take seconds.
    """
    try:
        settings = _settings(settings_type)
        configure_logging(service, settings.log_format)
        _serve_metrics(settings)
        run = load_run()
        spare_the_collector()
        yield_to_whoever_runs()
        run_until_stopped(partial(run, settings))
    except MeshError as error:
        sys.stderr.write(f"{service}: {error.message}\n")
        sys.exit(2)


def run_until_stopped(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Calls `main` with an event that a signal to stop sets; returns when it returns."""

    async def guarded() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await main(stop)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(guarded())


def spare_the_collector() -> None:
    """Collects cycles less often, and never looks at what was imported. 700 new objects, its default, are those of two calls."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def yield_to_whoever_runs() -> None:
    """Lets what runs go on when one of our threads wakes up (SCHED_BATCH, sched(7)). Threads begun later do the same.

    gRPC's threads wake each other some twenty times in a call. Where they do not interrupt each other as well, one waking handles more,
    and a call takes 5 % less CPU.
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
        message = f"METRICS_PORT={settings.metrics_port} cannot be served: {error.strerror}; set it to a free port"
        raise CannotStart(message) from error
