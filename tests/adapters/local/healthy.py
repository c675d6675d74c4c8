"""A process with a health port, as those of the mesh have. `python healthy.py JOURNAL NAME HABIT…`. SIGUSR1 makes its event loop hang."""

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

from mesh.process import RunningProcess
from mesh.rpc.serving.health_port import HealthPort
from mesh.tasks import BackgroundTasks


def hang() -> None:
    threading.Event().wait()


async def main() -> None:
    tasks = BackgroundTasks()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, tasks.stopping.set)
    loop.add_signal_handler(signal.SIGUSR1, hang)
    async with HealthPort(0) as health:
        await RunningProcess(tasks, health, Path(os.environ["READY_FILE"])).ready()
        await tasks.stopping.wait()


with Path(sys.argv[1]).open("a") as file:
    file.write(f"{sys.argv[2]} up\n")
asyncio.run(main())
