"""Builds the console and publishes it into a folder: `python -m deploy.local.console FOLDER`. VITE_… variables are part of the build.

Exits with 1 and the reason on standard error if it cannot be built. SIGTERM also ends the programs that it runs.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from deploy.local.console.build import built
from deploy.local.console.publish import publish
from deploy.local.errors import LaunchError


def end_session(_: int, __: FrameType | None) -> None:
    """Ends this process and the programs that it runs, if it leads a session of its own."""
    if os.getsid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    sys.exit(1)


def main(served: Path) -> int:
    """Builds and publishes; returns the exit code."""
    signal.signal(signal.SIGTERM, end_session)
    try:
        publish(built(os.environ), served)
    except LaunchError as error:
        print(f"agentmesh: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
