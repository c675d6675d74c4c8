"""Log lines: one JSON document each, with service and request id, and without the secrets that tracebacks could reveal."""

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import logging, sys
import structlog
from mesh import correlation
from mesh.telemetry import configure_logging

configure_logging("tested", sys.argv[1])
log = structlog.get_logger()
log.info("before any request")
correlation.adopt("req_abc")
log.info("of a request", figure=7)
log.debug("never seen")
logging.getLogger("some.library").warning("from a %s", "library")
logging.getLogger("some.library").info("never seen")

def fail(password):
    raise RuntimeError("it broke")

try:
    fail("hunter2")
except RuntimeError as error:
    log.error("failed", exc_info=error)
    logging.getLogger("some.library").exception("failed in a library")
"""


def lines(log_format: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, log_format], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == ""
    return done.stderr.splitlines()


@pytest.fixture(scope="module")
def logged() -> dict[str, dict[str, Any]]:
    return {line["event"]: line for line in map(json.loads, lines("json"))}


def test_every_line_is_a_json_document_with_service_level_and_time(logged: dict[str, dict[str, Any]]) -> None:
    assert list(logged) == ["before any request", "of a request", "from a library", "failed", "failed in a library"]
    for line in logged.values():
        assert line["service"] == "tested"
        assert line["level"] in ("info", "warning", "error")
        assert line["timestamp"].endswith("Z")
    assert logged["of a request"]["figure"] == 7


def test_every_line_of_a_request_has_its_id_including_those_of_libraries(logged: dict[str, dict[str, Any]]) -> None:
    assert {line.get("request_id") for event, line in logged.items() if event != "before any request"} == {"req_abc"}
    assert "request_id" not in logged["before any request"]


@pytest.mark.parametrize("event", ["failed", "failed in a library"])
def test_an_exception_is_logged_with_its_traceback_and_without_local_variables(logged: dict[str, dict[str, Any]], event: str) -> None:
    (cause,) = logged[event]["exception"]
    assert (cause["exc_type"], cause["exc_value"]) == ("RuntimeError", "it broke")
    assert [frame["name"] for frame in cause["frames"]][-1] == "fail"
    assert "hunter2" not in json.dumps(logged[event])


def test_plain_text_lines_have_the_same_content_and_no_local_variables() -> None:
    text = "\n".join(lines("console"))
    assert "figure" in text
    assert "req_abc" in text
    assert "RuntimeError: it broke" in text
    assert "never seen" not in text
    assert "'hunter2'" not in text.replace('fail("hunter2")', "")
