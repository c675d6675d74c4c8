"""The CPU time that a request costs a process, which other programs on the machine disturb far less than its latency."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

TRIES = 3


def cpu_ms(pid: int) -> float:
    """Milliseconds of CPU that the threads of a process have used. psutil's clock is too coarse for one request."""
    return sum(map(_of_thread, Path(f"/proc/{pid}/task").iterdir()))


def _of_thread(thread: Path) -> float:
    with suppress(OSError):  # the thread has ended
        return int((thread / "schedstat").read_text().split()[0]) / 1e6
    return 0.0


async def cost_of(send: Callable[[], Awaitable[object]], pids: Mapping[str, int], tries: int = TRIES) -> tuple[float, str]:
    """Milliseconds of CPU that one request costs the busiest of these processes, and the process's name; the least of several tries."""
    costs = []
    for _ in range(tries):
        before = {name: cpu_ms(pid) for name, pid in pids.items()}
        await send()
        costs.append(max((cpu_ms(pid) - before[name], name) for name, pid in pids.items()))
    return min(costs)
