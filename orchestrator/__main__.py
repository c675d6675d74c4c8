"""`python -m orchestrator`: one orchestrator."""

import sys
from functools import partial
from typing import NoReturn

from pydantic import ValidationError

from definitions.errors import DefinitionsUnreadable
from mesh import failpoints
from mesh.errors import ServiceUnavailable
from mesh.process import run_until_stopped
from mesh.settings import explain
from mesh.telemetry import configure_logging, serve_metrics
from orchestrator.app import run
from orchestrator.settings import OrchestratorSettings


def main() -> None:
    """Reads the settings from the environment and serves until told to stop; exits with 2 when it cannot start with them."""
    try:
        settings = OrchestratorSettings()
        failpoints.arm(settings.failpoints)
    except ValidationError as error:
        _refuse(explain(error))
    except ValueError as error:
        _refuse(str(error))
    configure_logging("orchestrator", settings.log_format)
    try:
        serve_metrics(settings.host_address, settings.metrics_port)
    except OSError as error:
        _refuse(f"METRICS_PORT={settings.metrics_port} cannot be served: {error.strerror}; set it to a free port")
    try:
        run_until_stopped(partial(run, settings))
    except DefinitionsUnreadable as error:
        _refuse(error.message)
    except ServiceUnavailable:
        _refuse("the database of DATABASE_URL cannot be reached; start it, or correct the URL")


def _refuse(why: str) -> NoReturn:
    sys.stderr.write(f"orchestrator: {why}\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
