"""`python -m agent_server`: one agent host."""

import asyncio
from collections.abc import Awaitable, Callable

from agent_server.hosting.settings import AgentHostSettings
from mesh.process import run_process


def main() -> None:
    """Runs one agent host until SIGTERM or SIGINT."""
    run_process("agent_server", AgentHostSettings, _run)


def _run() -> Callable[[AgentHostSettings, asyncio.Event], Awaitable[None]]:
    from agent_server.composition import run  # importing the SDK takes seconds; do it after the settings were checked

    return run


if __name__ == "__main__":
    main()
