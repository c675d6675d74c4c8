"""`python -m deploy.local up|clean`: what `make up` and `make clean` run.

Modules that need installed packages are imported late, so that `clean` works on a clean machine.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from deploy.local.clean import remove_all
from deploy.local.errors import LaunchError
from deploy.local.supervision.leash import die_with_parent
from mesh.clock import SYSTEM_CLOCK


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code. Errors are printed on standard error without a traceback."""
    options = parser().parse_args(arguments)
    try:
        if options.command == "clean":
            asyncio.run(remove_all())
        else:
            up(options.port_offset, options.shards, options.tls, options.kafka)
    except LaunchError as error:
        print(f"agentmesh: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def up(port_offset: int, shards: int, tls: bool, kafka: bool) -> None:
    """Runs a stack until a signal tells it to stop."""
    began = SYSTEM_CLOCK.monotonic()
    if "MAKELEVEL" in os.environ:  # run by `make up`: killing make means stopping the stack
        die_with_parent(signal.SIGTERM, os.getppid())
    from deploy.local.launcher import launch

    asyncio.run(launch(port_offset, shards, tls, kafka, os.environ, began))


def parser() -> argparse.ArgumentParser:
    outer = argparse.ArgumentParser(prog="python -m deploy.local", description="AgentMesh on this machine.")
    commands = outer.add_subparsers(dest="command", required=True)
    run = commands.add_parser("up", help="run the platform until Ctrl-C")
    run.add_argument("--port-offset", type=int, default=0, metavar="N", help="add N to every port: a second stack beside the first")
    run.add_argument("--shards", type=int, default=1, metavar="N", help="agent host processes that share the agents")
    run.add_argument("--tls", action="store_true", help="mTLS between the services, with certificates of a development authority")
    run.add_argument("--kafka", action="store_true", help="also publish events to a Kafka broker (needs Java, and Maven to fetch Kafka)")
    commands.add_parser("clean", help="remove the data of every stack on this machine")
    return outer


if __name__ == "__main__":
    sys.exit(main())
