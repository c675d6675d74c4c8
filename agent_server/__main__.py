"""`python -m agent_server`: one agent host."""

import sys
from functools import partial

from pydantic import ValidationError

from agent_server.settings import AgentHostSettings
from mesh import failpoints
from mesh.process import run_until_stopped
from mesh.telemetry import configure_logging, serve_metrics


def main() -> None:
    """Reads the settings from the environment and serves until told to stop; exits with 2 on settings that make no sense."""
    try:
        settings = AgentHostSettings()
        failpoints.arm(settings.failpoints)
    except (ValidationError, ValueError) as error:
        sys.exit(f"agent_server: {error}")
    configure_logging("agent_server", settings.log_format)
    serve_metrics(settings.host_address, settings.metrics_port)
    from agent_server.app import run  # the SDK takes seconds to import: not before the settings are known to be good

    run_until_stopped(partial(run, settings))


if __name__ == "__main__":
    main()
