"""Builds the console while the platform runs."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local.console.build import is_built
from deploy.local.console.publish import announce, is_published
from deploy.local.supervision.leash import leashed
from deploy.local.supervision.supervisor import Report

PRIORITY = 10
"""How nice the build is to the platform, which starts at the same time."""


class ConsoleBuilder:
    """Builds the console in a process of its own and publishes it into the folder that the gateway serves.

    A build that fails is reported with its reason, in the log too, and changes nothing else. `program` is the module that builds.
    """

    def __init__(
        self, served: Path, log: Path, environment: Mapping[str, str], report: Report, program: str = "deploy.local.console"
    ) -> None:
        self._served = served
        self._log = log
        self._environment = environment
        self._report = report
        self._program = program

    def announce(self) -> None:
        """Shows a notice in place of a console that is not published yet."""
        if not is_published(self._served):
            announce("The web console is being built for the first time. This takes a minute or two.", self._served)

    def outlook(self) -> str:
        """What the start screen says about the console while it is built."""
        if is_built(self._environment):
            return "ready in a moment"
        return "being built; a line below says when it is ready"

    async def build(self, url: str) -> None:
        """Builds, publishes and reports, with the `url` of the console. If it is cancelled, it ends the programs that it has started."""
        command = ["nice", "-n", str(PRIORITY), sys.executable, "-m", self._program, str(self._served)]
        child = await asyncio.create_subprocess_exec(
            *leashed(command, signal.SIGTERM),
            env={**os.environ, **self._environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            _, complaint = await child.communicate()
        finally:
            if child.returncode is None:
                child.terminate()
                await child.wait()
        if child.returncode == 0:
            self._report(f"the web console is ready: {url}")
        else:
            self._failed(complaint.decode(errors="replace").strip())

    def _failed(self, complaint: str) -> None:
        self._log.touch(mode=0o600)
        self._log.write_text(complaint + "\n")
        self._report(f"the web console could not be built; everything else works. The reason, also in {self._log}:\n{complaint}")
        if not is_published(self._served):
            announce(f"The web console could not be built. The reason is in {self._log}.", self._served)
