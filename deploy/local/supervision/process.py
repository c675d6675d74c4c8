"""One program of the local stack: starts it, detects when it is ready and how it ended, stops it."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LaunchError
from deploy.local.supervision.leash import Account, leashed
from deploy.local.supervision.leftovers import remember
from deploy.local.supervision.traces import Traces
from deploy.local.supervision.waiting import holds_within
from mesh.tasks import awaited

Prepare = Callable[[], Awaitable[Mapping[str, str]]]
Alive = Callable[[float], Awaitable[bool]]

QUOTED_BYTES = 16_384
QUOTED_LINES = 5
QUOTED_WIDTH = 300


async def nothing_to_prepare() -> Mapping[str, str]:
    """For a program that needs no preparation."""
    return {}


@dataclass(frozen=True)
class ProcessSpec:
    """A program and how it is started and stopped.

    `prepare` runs before every start and returns environment variables; those of `environment` override them. `ready` is polled with the
    process id until it returns True, for at most `start_seconds`. `stop_signal` requests an orderly end, which may take `stop_seconds`
    before SIGKILL; the program gets the same signal if the launcher dies.
    `after` names the processes that must be ready first. `alive`, if there is one, returns within the given number of seconds whether a
    ready program still answers.
    """

    name: str
    command: Sequence[str]
    traces: Traces
    ready: Callable[[int], Awaitable[bool]]
    environment: Mapping[str, str]
    folder: Path = Path("/")
    prepare: Prepare = nothing_to_prepare
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    start_seconds: float = 60
    stop_seconds: float = 15
    after: Sequence[str] = ()
    alive: Alive | None = None


class Process:
    """A program that can be started, stopped and started again. To be used from one event loop, in the main thread."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.crashes: asyncio.Queue[int] = asyncio.Queue()
        """The exit code of every end that was not requested, in the form of `subprocess`."""
        self._environment: Mapping[str, str] = spec.environment
        self._child: asyncio.subprocess.Process | None = None
        self._farewell: asyncio.Task[None] | None = None
        self._wanted = False
        self._serving = False
        self._log_start = 0
        self._turn = asyncio.Lock()

    @property
    def name(self) -> str:
        """The name in messages and in the file name of the log."""
        return self.spec.name

    @property
    def log_path(self) -> Path:
        """The file that gets standard output and standard error."""
        return self.spec.traces.log

    @property
    def running(self) -> bool:
        """Whether the program runs, ready or not."""
        return self._child is not None and self._child.returncode is None

    @property
    def serving(self) -> bool:
        """Whether the program has become ready and has not ended or been told to stop since."""
        return self._serving

    @property
    def pid(self) -> int:
        """The process id. Raises LaunchError if it does not run."""
        child = self._child
        if child is None or child.returncode is not None:
            raise LaunchError(f"{self.name} is not running")
        return child.pid

    async def start(self) -> None:
        """Starts the program unless it runs, and waits until it is ready. Raises LaunchError if it ends or takes too long."""
        async with self._turn:
            self._wanted = True
            await self._launch()

    async def revive(self) -> None:
        """Like `start`, but does nothing if the program was stopped deliberately."""
        async with self._turn:
            if self._wanted:
                await self._launch()

    async def stop(self) -> None:
        """Asks the program to end and waits; kills it if that takes longer than `stop_seconds`."""
        async with self._turn:
            self._wanted = False
            await self._end()

    async def restart(self, env: Mapping[str, str] | None = None) -> None:
        """Stops and starts it. `env` overrides its original environment, for this start and later ones."""
        async with self._turn:
            self._wanted = True
            await self._end()
            if env is not None:
                self._environment = {**self.spec.environment, **env}
            await self._launch()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal, for tests; the supervisor restarts the program if it ends."""
        os.kill(self.pid, number)

    def end_hard(self) -> None:
        """Kills it at once. `stop` ends it in an orderly way."""
        if self._child is not None and self._child.returncode is None:
            self._child.kill()

    def end_of_log(self) -> str:
        """The last lines of its log since its last start."""
        with self.log_path.open("rb") as log:
            log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - QUOTED_BYTES))
            lines = log.read().decode(errors="replace").splitlines()[-QUOTED_LINES:]
        return f"The end of {self.log_path}:" + "".join(f"\n    {line[:QUOTED_WIDTH]}" for line in lines)

    async def _launch(self) -> None:
        if self.running:
            return
        try:
            child = await self._spawn({**await self.spec.prepare(), **self._environment})
        except OSError as error:  # for example a full disk or no memory: the supervisor tries again
            raise LaunchError(f"{self.name} cannot be started: {error}") from error
        self._farewell = awaited(self._wait_for_end(child))
        try:
            await self._until_ready(child)
        except BaseException:
            await self._end()
            raise
        self._serving = True

    async def _spawn(self, environment: dict[str, str]) -> asyncio.subprocess.Process:
        spec = self.spec
        spec.traces.log.parent.mkdir(parents=True, exist_ok=True)
        with open(spec.traces.log, "ab", opener=_private) as log:  # noqa: ASYNC230 (a local file)
            self._log_start = log.tell()
            self._child = await asyncio.create_subprocess_exec(
                *leashed(spec.command, spec.stop_signal, spec.account),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=spec.folder,
                env=environment,
                start_new_session=True,
            )
        if spec.traces.pid:
            remember(spec.traces.pid, self._child.pid)
        return self._child

    async def _until_ready(self, child: asyncio.subprocess.Process) -> None:
        async def decided() -> bool:
            return child.returncode is not None or await self.spec.ready(child.pid)

        if not await holds_within(self.spec.start_seconds, decided):
            raise LaunchError(self._with_log(f"was not ready after {self.spec.start_seconds:g} s"))
        if child.returncode is not None:
            raise LaunchError(self._with_log(f"{describe_end(child.returncode)} while it was starting"))

    def _with_log(self, what: str) -> str:
        return f"{self.name} {what}. {self.end_of_log()}"

    async def _wait_for_end(self, child: asyncio.subprocess.Process) -> None:
        """Waits until the program ends, and records a crash if it was serving and was not told to end."""
        code = await child.wait()
        if self._serving:
            self._serving = False
            self.crashes.put_nowait(code)  # before anything that may fail: without it, the program would not be restarted
        if self.spec.traces.pid:
            self.spec.traces.pid.unlink(missing_ok=True)

    async def _end(self) -> None:
        self._serving = False
        if self._child is None or self._farewell is None:
            return
        if self._child.returncode is None:
            self._child.send_signal(self.spec.stop_signal)
        try:
            await asyncio.wait_for(asyncio.shield(self._farewell), self.spec.stop_seconds)
        except TimeoutError:
            self.end_hard()
            await self._farewell


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def describe_end(code: int) -> str:
    """How a process ended, from its exit code in the form of `subprocess`."""
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def ready_file_written(path: Path) -> Callable[[int], Awaitable[bool]]:
    """Readiness of the mesh's processes, which write a file once they take calls. `prepare` must remove an old one."""

    async def ready(_: int) -> bool:
        return path.exists()  # noqa: ASYNC240 (a look at a local folder)

    return ready


async def run(command: Sequence[str], environment: Mapping[str, str], account: Account | None = None) -> None:
    """Runs a program to its end. Raises LaunchError with its output if it fails."""
    child = await asyncio.create_subprocess_exec(
        *leashed(command, signal.SIGKILL, account),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd="/",
        env=dict(environment),
        start_new_session=True,
    )
    try:
        output, _ = await child.communicate()
    except BaseException:
        child.kill()
        await child.wait()
        raise
    if child.returncode != 0:
        last = " ".join(output.decode(errors="replace").split())[-500:]
        raise LaunchError(f"{Path(command[0]).name} failed: {last}")
