"""Runs one stack in the foreground: shows progress and stops on a signal."""

import asyncio
import signal
from collections.abc import Mapping
from contextlib import suppress

from deploy.local.console.background import ConsoleBuilder
from deploy.local.errors import LaunchError
from deploy.local.lifted_limits import lifted
from deploy.local.programs import Provider
from deploy.local.screen import Screen, start_screen
from deploy.local.stack import LIVENESS_SECONDS, Stack
from deploy.local.state import StateFolder
from mesh.tasks import BackgroundTasks, awaited


async def launch(port_offset: int, shards: int, tls: bool, kafka: bool, environment: Mapping[str, str], began: float) -> None:
    """Runs the stack at that offset until SIGINT, SIGTERM or SIGHUP.

    Raises LaunchError if it cannot be started, and after it was stopped because one of the launcher's own tasks ended unexpectedly.

    `began` is the time of the command, a reading of the monotonic clock.
    """
    screen = Screen(began)
    provider = Provider.from_environment(environment)
    state = StateFolder.of_offset(port_offset)
    liveness = liveness_seconds(environment)
    tasks = BackgroundTasks()
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
        tasks=tasks,
    )
    stop = tasks.stopping
    console = ConsoleBuilder(stack.console_folder, state.log("console"), environment, screen.step)
    console.announce()
    on_signal(stack, stop)
    building: list[asyncio.Task[None]] = []
    try:
        if await started(stack, stop):
            screen.show(await start_screen(stack, screen.seconds, console.outlook()))
            building.append(tasks.start_once("console build", console.build(stack.gateway_url), vital=False))
            await stop.wait()
    finally:
        if stop.is_set():
            screen.step("stopping")
            await tasks.stop(*building)
            await stack.stop()
            screen.step("everything has stopped")
    if tasks.failure is not None:
        raise LaunchError(
            f"stopped because the {tasks.failure.name} ended unexpectedly ({tasks.failure.cause!r}); run it again, and report this"
        )


def liveness_seconds(environment: Mapping[str, str]) -> float:
    """How long a process may leave its health check unanswered before it is killed. Raises LaunchError for an invalid setting."""
    setting = environment.get("LIVENESS_SECONDS", f"{LIVENESS_SECONDS:g}")
    try:
        seconds = float(setting)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise LaunchError(f"invalid LIVENESS_SECONDS {setting}: use a number of seconds, or 0 to keep processes that do not answer")
    return seconds


def on_signal(stack: Stack, stop: asyncio.Event) -> None:
    """The first signal to stop sets `stop`; the second kills every process."""

    def asked() -> None:
        if stop.is_set():
            stack.kill()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked)


async def started(stack: Stack, stop: asyncio.Event) -> bool:
    """Starts the stack; False if it was told to stop before it was ready."""
    starting = awaited(stack.start())
    stopping = awaited(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        await starting
        return True
    starting.cancel()
    with suppress(asyncio.CancelledError):
        await starting
    return False
