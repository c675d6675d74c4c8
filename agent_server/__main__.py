"""`python -m agent_server`: one agent host."""

from collections.abc import Awaitable, Callable

from agent_server.hosting.settings import AgentHostSettings
from mesh.process import RunningProcess, run_process


def main() -> None:
    """Runs one agent host until SIGTERM or SIGINT."""
    run_process("agent_server", AgentHostSettings, _run)


def _run() -> Callable[[AgentHostSettings, RunningProcess], Awaitable[None]]:
    from agent_server.composition import run  # importing the SDK takes seconds; do it after the settings were checked

    return run


if __name__ == "__main__":
    main()
