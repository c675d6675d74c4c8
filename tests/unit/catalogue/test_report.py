"""The problems of definitions are exported as metrics."""

from pathlib import Path

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from catalogue.catalogue import Catalogue, Problem
from catalogue.report import log_problems


def test_problems_are_exported_until_they_are_solved() -> None:
    for problems in ((Problem(Path("a.yaml"), "line 3: unknown key"), Problem(Path("b.yaml"), "empty")), ()):
        with capture_logs() as lines:
            log_problems(Catalogue(problems=problems))
        assert len(lines) == len(problems)
        assert REGISTRY.get_sample_value("definition_problems") == len(problems)
        assert REGISTRY.get_sample_value("definition_agents") == 0
