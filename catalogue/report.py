"""Logs the problems of definitions."""

from pathlib import Path

import structlog

from catalogue.catalogue import Catalogue
from catalogue.files.cache import DocumentCache
from catalogue.files.reader import read

log = structlog.get_logger()


def log_problems(catalogue: Catalogue) -> None:
    """Logs every problem of the catalogue."""
    for problem in catalogue.problems:
        log.error("definition_refused", source=str(problem.source), problem=problem.message)


def read_reported(path: Path, cache: DocumentCache | None = None) -> Catalogue:
    """Reads a folder of definitions and logs its problems. Raises DefinitionsUnreadable if there is no such folder."""
    catalogue = read(path, cache=cache)
    log_problems(catalogue)
    return catalogue
