"""Reports the problems of definitions: in the log and in metrics."""

from pathlib import Path

import structlog
from prometheus_client import Gauge

from catalogue.catalogue import Catalogue
from catalogue.files.cache import DocumentCache
from catalogue.files.reader import read

log = structlog.get_logger()

PROBLEMS = Gauge(
    "definition_problems", "Problems of the definitions that this process has read; a file with a problem is not served as it is"
)
AGENTS = Gauge("definition_agents", "Agents in the definitions that this process has read")


def log_problems(catalogue: Catalogue) -> None:
    """Logs every problem of the catalogue, and exports how many there are."""
    PROBLEMS.set(len(catalogue.problems))
    AGENTS.set(len(catalogue))
    for problem in catalogue.problems:
        log.error("definition_refused", source=str(problem.source), problem=problem.message)


def read_reported(path: Path, cache: DocumentCache | None = None) -> Catalogue:
    """Reads a folder of definitions and logs its problems. Raises DefinitionsUnreadable if there is no such folder."""
    catalogue = read(path, cache=cache)
    log_problems(catalogue)
    return catalogue
