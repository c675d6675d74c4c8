"""Runs one stack for a person: shows what happens, and stops when told to."""

import asyncio
import signal
from collections.abc import Mapping
from contextlib import suppress

from deploy.local.errors import LaunchError
from deploy.local.lifted_limits import lifted
from deploy.local.programs import Provider
from deploy.local.screen import Screen, start_screen
from deploy.local.stack import LIVENESS_SECONDS, Stack
from deploy.local.state import StateFolder


async def launch(port_offset: int, shards: int, tls: bool, kafka: bool, environment: Mapping[str, str], began: float) -> None:
    """Runs the stack of that offset until SIGINT, SIGTERM or SIGHUP. LaunchError when it cannot be started.

    `began` is when it was asked for, in the seconds of `time.monotonic`.
    """
    screen = Screen(began)
    provider = Provider.from_environment(environment)
    state = StateFolder.of_offset(port_offset)
    liveness = liveness_seconds(environment)
    stack = Stack(
        state.path,
        port_offset,
        shards,
        tls=tls,
        kafka=kafka,
        environment=lifted(environment),
        provider=provider,
        report=screen.step,
        liveness_seconds=liveness,
    )
    stop = stop_request(stack)
    try:
        if await started(stack, stop):
            screen.show(await start_screen(stack, screen.seconds))
            await stop.wait()
    finally:
        if stop.is_set():
            screen.step("stopping")
            await stack.stop()
            screen.step("everything has stopped")


def liveness_seconds(environment: Mapping[str, str]) -> float:
    """How long a process may leave its health check unanswered before it is killed; LaunchError for an invalid setting."""
    setting = environment.get("LIVENESS_SECONDS", f"{LIVENESS_SECONDS:g}")
    try:
        seconds = float(setting)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise LaunchError(f"invalid LIVENESS_SECONDS {setting}: use a number of seconds, or 0 to keep processes that do not answer")
    return seconds


def stop_request(stack: Stack) -> asyncio.Event:
    """Is set by the first signal to stop; the second ends every process without waiting for it."""
    stop = asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            stack.kill()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    return stop


async def started(stack: Stack, stop: asyncio.Event) -> bool:
    """Starts the stack, or gives up as soon as a stop is asked for: False."""
    starting = asyncio.create_task(stack.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        await starting
        return True
    starting.cancel()
    with suppress(asyncio.CancelledError):
        await starting
    return False
