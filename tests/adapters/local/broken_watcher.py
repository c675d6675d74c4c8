"""`python broken_watcher.py up …`: the launcher, with a fault. The watcher of the gateway ends as soon as it begins."""

import sys

from deploy.local.__main__ import main
from deploy.local.supervision.process import Process
from deploy.local.supervision.supervisor import Supervisor

watch = Supervisor._watch


async def broken(self: Supervisor, process: Process) -> None:
    if process.name == "envoy":
        raise RuntimeError("the watcher broke")
    await watch(self, process)


if __name__ == "__main__":
    Supervisor._watch = broken  # type: ignore[method-assign]
    sys.exit(main())
