"""`python -m tests.bench compare calls|workflows <commit>`: whether this tree is slower than another commit.

The other commit, the base, is checked out as a git work tree in a temporary folder with a virtual environment of its own. Both builds
then run their stack side by side, in front of the same provider, and take slices of load in turn. In each round, each figure of this
tree is divided by that of the base. The verdict uses the medians of these ratios, because a slow moment of a shared machine then spoils
one round instead of the result:

- the rate with many callers, which may be up to 3 % lower,
- the CPU that all processes of the stack use for one answer with many callers, which may be up to 3 % higher,
- the p50 with one caller, which may be up to 3 % higher.
"""

import asyncio
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.bench.cpu import cpu_seconds
from tests.bench.load import closed_loop
from tests.bench.sides import provider

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 12
TOLERANCE = 0.03
LEVELS = {"calls": (64, 1.5), "workflows": (32, 5.0)}
"""For each benchmark, the number of callers under load and the seconds of a slice."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One slice of load on one build: answers per second, the median latency in seconds, CPU seconds per answer, and these by process."""

    rate: float
    p50: float
    cpu: float
    cpu_by_process: Mapping[str, float]


@dataclass(frozen=True)
class Build:
    """A build with its running stack."""

    name: str
    process: asyncio.subprocess.Process
    facts: Mapping[str, Any]

    async def measure(self, in_flight: int, seconds: float) -> Figures:
        """Put one slice of load on the build."""
        before = self._cpu_seconds()
        if "port" in self.facts:
            slice = await closed_loop.run("127.0.0.1", self.facts["port"], base64.b64decode(self.facts["request"]), in_flight, seconds)
            rate, p50, count = slice.per_second, statistics.median(slice.latencies), len(slice.latencies)
        else:
            answer = await self._ask(in_flight=in_flight, seconds=seconds)
            rate, p50, count = answer["rate"], answer["p50"], answer["count"]
        used = {name: (after - before.get(name, 0)) / count for name, after in self._cpu_seconds().items()}
        return Figures(rate, p50, sum(used.values()), used)

    async def _ask(self, **order: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        return await answer_of(self.process)

    def _cpu_seconds(self) -> dict[str, float]:
        """By process name, including processes that only one of the two builds has."""
        seconds: dict[str, float] = {}
        for child in psutil.Process(self.process.pid).children():
            name = program(child.cmdline())
            seconds[name] = seconds.get(name, 0) + sum(cpu_seconds({name: child.pid}).values())
        return seconds


def program(command: Sequence[str]) -> str:
    """A short name for a command: the last part of a Python module, or the file name of a program."""
    if not command:
        return "ended"
    return command[command.index("-m") + 1].rpartition(".")[2] if "-m" in command else Path(command[0].split()[0]).name.rstrip(":")


async def main(benchmark: str, base: str, rounds: int, seconds: float) -> int:
    """Measure, print, and return 1 if this tree is more than 3 % slower, otherwise 0."""
    many, default_seconds = LEVELS[benchmark]
    async with AsyncExitStack() as stack:
        tree = stack.enter_context(work_tree(base))
        url, _ = await stack.enter_async_context(provider())
        builds = [
            await stack.enter_async_context(running(name, path, benchmark, url)) for name, path in (("base", tree), ("this tree", ROOT))
        ]
        return await compare(builds, many, rounds, seconds or default_seconds)


async def compare(builds: list[Build], many: int, rounds: int, seconds: float) -> int:
    """Alternate between the base and this tree for this many rounds."""
    for build in builds:
        for callers in (many // 8, many):  # warm-up: connections, code paths, prepared statements
            await build.measure(callers, seconds)
    ratios: dict[str, list[float]] = {"rate": [], "CPU": [], "p50 with one caller": []}
    used: dict[str, list[Mapping[str, float]]] = {build.name: [] for build in builds}
    for turn in range(rounds):
        taken = {}
        for build in builds if turn % 2 == 0 else builds[::-1]:
            taken[build.name] = await build.measure(many, seconds), await build.measure(1, seconds)
        for name, (figures, _) in taken.items():
            used[name].append(figures.cpu_by_process)
        (old, old_alone), (new, new_alone) = (taken[build.name] for build in builds)
        for figure, ratio in zip(ratios, (new.rate / old.rate, new.cpu / old.cpu, new_alone.p50 / old_alone.p50), strict=True):
            ratios[figure].append(ratio)
        print(
            f"round {turn + 1:>2}: base {old.rate:.0f}/s, {old.cpu * 1000:.2f} ms CPU, p50 {old_alone.p50 * 1000:.2f} ms;"
            f" this tree {new.rate:.0f}/s, {new.cpu * 1000:.2f} ms CPU, p50 {new_alone.p50 * 1000:.2f} ms",
            flush=True,
        )
    for name, by_process in used.items():
        medians = {process: statistics.median(one.get(process, 0) for one in by_process) for process in by_process[-1]}
        print(f"{name}, ms CPU: {', '.join(f'{process} {median * 1000:.2f}' for process, median in medians.items())}")
    return verdict(ratios, rounds)


def verdict(ratios: Mapping[str, list[float]], rounds: int) -> int:
    """Print the median ratios; 1 if one of them is worse than the tolerance."""
    slower = []
    for figure, values in ratios.items():
        median = statistics.median(values)
        bound = 1 - TOLERANCE if figure == "rate" else 1 + TOLERANCE
        if median < bound if figure == "rate" else median > bound:
            slower.append(figure)
        print(f"{figure:>20}: {median:.3f} times the base's (rounds {min(values):.2f} to {max(values):.2f}, bound {bound:.2f})")
    if rounds < ROUNDS:
        print(f"{rounds} rounds are too few for a verdict: use at least {ROUNDS}")
    print(f"more than {TOLERANCE:.0%} slower than the base: {', '.join(slower)}" if slower else "not slower than the base")
    return int(bool(slower))


@contextmanager
def work_tree(commit: str) -> Iterator[Path]:
    """A checkout of a commit with its virtual environment, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="agentmesh-base-") as folder:
        tree = Path(folder, "tree")
        _run("git", "-C", str(ROOT), "worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            _run(sys.executable, "-m", "deploy.local.bootstrap", "everything", cwd=tree)
            yield tree
        finally:
            _run("git", "-C", str(ROOT), "worktree", "remove", "--force", str(tree))


@asynccontextmanager
async def running(name: str, tree: Path, benchmark: str, provider_url: str) -> AsyncIterator[Build]:
    """The stack of the build in `tree`."""
    command = [str(tree / ".venv/bin/python"), "-P", str(Path(__file__).with_name("build.py")), benchmark, provider_url]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, cwd=tree, env=environment(tree), start_new_session=True, limit=2**20
    )
    assert process.stdin is not None
    try:
        yield Build(name, process, await answer_of(process))
    finally:
        process.stdin.close()
        await process.wait()


def environment(tree: Path) -> dict[str, str]:
    """This process's environment, with the modules of `tree` in place of its own."""
    return {**os.environ, "PYTHONPATH": str(tree)}


async def answer_of(process: asyncio.subprocess.Process) -> Any:
    """The next JSON document that the process prints. RuntimeError if it ends instead."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError(f"the stack ended with exit code {await process.wait()}; its messages are above")
    return json.loads(line)


def _run(*command: str, cwd: Path = ROOT) -> None:
    if subprocess.run(command, cwd=cwd, check=False).returncode:
        raise SystemExit(f"bench: `{' '.join(command)}` failed; its message is above")
