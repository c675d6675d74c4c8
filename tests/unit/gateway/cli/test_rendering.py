"""What commands print, by format and by the width of the terminal."""

import json
from pathlib import Path

import pytest
import yaml
from agentmesh.workflow.v1 import workflow_pb2
from agentmesh.workflow.v1 import workflow_service_pb2 as pb

from gateway.cli.commands.run_view import RunView
from gateway.cli.errors import CallFailed, CliError, Refusal
from gateway.cli.exits import Exit
from gateway.cli.rendering import Column, Format, Printer, report
from gateway.cli.words import count, money, one_line, seconds, share, state

RUNS = pb.ListRunsResponse(
    runs=[
        workflow_pb2.Run(run_id="r-1", status=workflow_pb2.RUN_STATUS_WAITING_APPROVAL, workflow_id="w" * 60),
        workflow_pb2.Run(run_id="r-2", status=workflow_pb2.RUN_STATUS_FAILED, workflow_id="=cmd()"),
    ]
)
COLUMNS = [
    Column("run", lambda run: run.run_id),
    Column("state", lambda run: state(run, "status")),
    Column("of", lambda run: run.workflow_id, grows=True),
    Column("owner", lambda run: run.user_id, wide=True),
]


def printed(capsys: pytest.CaptureFixture[str], format_: Format, *, terminal: bool = False) -> str:
    Printer(format_, terminal).items(RUNS, RUNS.runs, COLUMNS, "nothing")
    return capsys.readouterr().out


def test_piped_lists_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a header, and with every column whole."""
    assert printed(capsys, Format.TABLE) == f"r-1\twaiting approval\t{'w' * 60}\t0\nr-2\tfailed\t=cmd()\t0\n"


@pytest.mark.parametrize(("width", "wide"), [(80, False), (120, True)])
def test_tables_fit_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, wide: bool) -> None:
    """Only the column that grows is cut; some columns need a wide terminal."""
    monkeypatch.setenv("COLUMNS", str(width))
    lines = printed(capsys, Format.TABLE, terminal=True).splitlines()
    assert all(len(line) <= width for line in lines)
    assert ("OWNER" in lines[0]) is wide
    assert "r-1" in lines[1]
    assert "waiting approval" in lines[1]
    assert ("…" in lines[1]) is not wide


def test_documents_are_whole_and_have_the_fields_of_the_api(capsys: pytest.CaptureFixture[str]) -> None:
    as_json = json.loads(printed(capsys, Format.JSON))
    assert as_json == yaml.safe_load(printed(capsys, Format.YAML))
    assert as_json["runs"][1]["status"] == "RUN_STATUS_FAILED"
    assert as_json["next_page_token"] == ""


def test_a_spreadsheet_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, Format.CSV).splitlines() == ["run,state,of,owner", f"r-1,waiting approval,{'w' * 60},0", "r-2,failed,'=cmd(),0"]


def test_an_empty_list_says_what_to_do_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(Format.TABLE, False).items(pb.ListRunsResponse(), [], COLUMNS, "create one")
    assert capsys.readouterr() == ("", "create one\n")


REFUSED = CallFailed(
    Refusal("VALIDATION_ERROR", "a: is wrong (and 1 more)", "req_1", {"k": "v"}, [("a", "is wrong"), ("b", "is missing")], 3.0),
    "correct it",
    Exit.INVALID,
)


def test_an_error_is_one_line_and_one_for_each_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(REFUSED, Format.TABLE) is Exit.INVALID
    first, *others = capsys.readouterr().err.splitlines()
    assert first == "agentmesh: a: is wrong (and 1 more) [VALIDATION_ERROR, req_1]; retry after 3 s; correct it"
    assert others == ["  a: is wrong", "  b: is missing"]


def test_an_error_is_an_envelope_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    report(REFUSED, Format.JSON)
    error = json.loads(capsys.readouterr().err)["error"]
    assert (error["code"], error["request_id"], error["details"]["k"]) == ("VALIDATION_ERROR", "req_1", "v")
    assert [violation["field"] for violation in error["details"]["field_violations"]] == ["a", "b"]
    report(CliError("no", "do it", Exit.USAGE), Format.YAML)
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "USAGE"


def test_a_watched_run_is_followed() -> None:
    """Changes become lines; the text of another attempt replaces that of the first."""
    view = RunView("r")
    step = workflow_pb2.Step(task_id="a", execution_id="e2", attempts=2, status=workflow_pb2.STEP_STATUS_RUNNING)
    changes = [
        pb.WatchRunResponse(sequence=1, run=pb.RunChange(run=workflow_pb2.Run(status=workflow_pb2.RUN_STATUS_RUNNING))),
        pb.WatchRunResponse(sequence=2, step=pb.StepChange(step=step)),
        pb.WatchRunResponse(sequence=2, live=pb.StepLive(execution_id="e1", text=pb.LiveText(text="old", next_offset=3))),
        pb.WatchRunResponse(sequence=2, live=pb.StepLive(execution_id="e2", text=pb.LiveText(text="ne", next_offset=2))),
        pb.WatchRunResponse(sequence=2, live=pb.StepLive(execution_id="e2", text=pb.LiveText(offset=2, text="w", next_offset=3))),
    ]
    lines = []
    for change in changes:
        view.take(change)
        lines.append(view.line(change).split("\t")[1:])
    assert lines == [["run", "running"], ["a", "running", "attempt 2"], [], [], []]
    assert (view.after, view.live_execution_id, view.live_offset, view.live_text) == (2, "e2", 3, "new")


def test_values_read_like_a_person_writes_them() -> None:
    assert [money(amount) for amount in (0, 5_900, 1_234_567, 123_456_789_000)] == ["$0.00", "$0.0059", "$1.2346", "$123,456.79"]
    assert [seconds(value) for value in (0.04, 59.9, 61, 3_725)] == ["0.0 s", "59.9 s", "1 min 01 s", "1 h 02 min"]
    assert [count(number, "agent") for number in (1, 1_300)] == ["1 agent", "1,300 agents"]
    assert (share(1, 3), share(1, 0)) == (" (33.3 %)", "")
    assert one_line("a\x1b[31m\n b") == "a [31m b"


def test_the_shared_module_prints_nothing_else() -> None:
    """Terminal control characters of an answer cannot reach a table or a line."""
    assert "\x1b" not in one_line(Path(__file__).read_text() + "\x1b")
