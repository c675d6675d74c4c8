"""Tells whoever runs a process what is wrong with the definitions."""

import structlog

from catalogue.catalogue import Catalogue

log = structlog.get_logger()


def log_problems(catalogue: Catalogue) -> None:
    """Logs every problem; what was served before still is."""
    for problem in catalogue.problems:
        log.error("definition_refused", source=str(problem.source), problem=problem.message)
