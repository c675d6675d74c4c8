"""`python -m orchestrator`: one orchestrator."""

import sys
from functools import partial

from pydantic import ValidationError

from mesh import failpoints
from mesh.process import run_until_stopped
from mesh.telemetry import configure_logging, serve_metrics
from orchestrator.app import run
from orchestrator.settings import OrchestratorSettings


def main() -> None:
    """Reads the settings from the environment and serves until told to stop; exits with a message on settings that make no sense."""
    try:
        settings = OrchestratorSettings()
        failpoints.arm(settings.failpoints)
    except (ValidationError, ValueError) as error:
        sys.exit(f"orchestrator: {error}")
    configure_logging("orchestrator", settings.log_format)
    serve_metrics(settings.host_address, settings.metrics_port)
    run_until_stopped(partial(run, settings))


if __name__ == "__main__":
    main()
