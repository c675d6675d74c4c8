"""Logs the problems of definitions."""

import structlog

from catalogue.catalogue import Catalogue

log = structlog.get_logger()


def log_problems(catalogue: Catalogue) -> None:
    """Logs every problem of the catalogue."""
    for problem in catalogue.problems:
        log.error("definition_refused", source=str(problem.source), problem=problem.message)
