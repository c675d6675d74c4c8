"""`python -m agent_server`: one agent host."""

import asyncio
from collections.abc import Awaitable, Callable

from agent_server.hosting.settings import AgentHostSettings
from mesh.process import run_process


def main() -> None:
    """Serves a shard of the agents until told to stop."""
    run_process("agent_server", AgentHostSettings, _run)


def _run() -> Callable[[AgentHostSettings, asyncio.Event], Awaitable[None]]:
    from agent_server.hosting.app import run  # the SDK takes seconds to import

    return run


if __name__ == "__main__":
    main()
