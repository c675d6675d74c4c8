"""Profiles, addresses, times, contexts and workflow files that the user names."""

import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.__main__ import app
from gateway.cli.commands.analytics import time_of
from gateway.cli.commands.calling import context_of, document_of
from gateway.cli.commands.workflows import request_from
from gateway.cli.connection import target_of
from gateway.cli.errors import CliError
from gateway.cli.exits import Exit
from gateway.cli.profiles import Profile, Profiles


@pytest.fixture
def profiles(tmp_path: Path) -> Profiles:
    return Profiles.of({"XDG_CONFIG_HOME": str(tmp_path)})


def test_a_profile_is_kept_for_its_owner_only(profiles: Profiles) -> None:
    """With any umask, and also if the folder was readable before."""
    profiles.folder.mkdir(mode=0o755)
    mask = os.umask(0)
    try:
        profiles.save(Profile("work", "https://a.example").with_tokens("access", "refresh", 60))
        profiles.use("work")
    finally:
        os.umask(mask)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (profiles.folder, *profiles.folder.rglob("*"))}
    assert modes == {"agentmesh": 0o700, "profiles": 0o700, "work.json": 0o600, "current": 0o600}
    assert profiles.load("work").refresh_token == "refresh"
    assert "refresh" not in repr(profiles.load("work"))
    assert (profiles.current(), profiles.names()) == ("work", ["work"])
    assert not profiles.load("work").without_credentials().logged_in


def test_a_relative_xdg_folder_is_ignored() -> None:
    """As the XDG specification requires."""
    assert Profiles.of({"XDG_CONFIG_HOME": "config"}).folder == Path.home() / ".config/agentmesh"


def test_a_damaged_profile_says_what_to_do(profiles: Profiles) -> None:
    profiles.save(Profile("work"))
    (profiles.folder / "profiles/work.json").write_text("[")
    with pytest.raises(CliError, match="cannot read the profile") as raised:
        profiles.load("work")
    assert raised.value.advice == "delete the file and log in again"


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".hidden"])
def test_a_profile_name_is_no_path(profiles: Profiles, name: str) -> None:
    with pytest.raises(CliError, match="invalid profile name"):
        profiles.load(name)


@pytest.mark.parametrize(
    ("server", "target"),
    [
        ("http://localhost:8000", ("localhost:8000", False)),
        ("https://agents.example.com/", ("agents.example.com:443", True)),
        ("http://[::1]:9", ("[::1]:9", False)),
    ],
)
def test_a_server_is_a_url(server: str, target: tuple[str, bool]) -> None:
    assert target_of(server) == target


@pytest.mark.parametrize("server", ["localhost:8000", "ftp://a", "http://a:b", "http://a/path", "http://user@a", "http://"])
def test_another_address_is_refused(server: str) -> None:
    with pytest.raises(CliError, match="invalid server") as raised:
        target_of(server)
    assert raised.value.code is Exit.USAGE


def test_times_are_ages_or_dates() -> None:
    now = datetime(2026, 11, 28, 12, tzinfo=UTC)
    assert [now - time_of(age, now) for age in ("30m", "24h", "7d", "2w")] == [
        *(timedelta(minutes=30), timedelta(hours=24), timedelta(days=7), timedelta(weeks=2))
    ]
    assert time_of("2026-11-01T12:00Z", now) == datetime(2026, 11, 1, 12, tzinfo=UTC)
    assert time_of("2026-11-01", now).tzinfo is not None
    for text in ("yesterday", "h", "99999999999w"):
        with pytest.raises(CliError, match="invalid time"):
            time_of(text, now)


def test_a_context_has_values_of_json(tmp_path: Path) -> None:
    """A value that is not JSON is a text; single values replace those of the file."""
    file = tmp_path / "context.yaml"
    file.write_text("audience: adults\nlanguage: en\n")
    given = context_of(["age=30", "audience=children", "tags=[1]", "formula=a=b"], str(file))
    assert given == {"audience": "children", "language": "en", "age": 30, "tags": [1], "formula": "a=b"}
    with pytest.raises(CliError, match="invalid context 'age'"):
        context_of(["age"], "")


def test_workflows_are_read_from_yaml_and_json(tmp_path: Path) -> None:
    plain = {"name": "x", "tasks": [{"id": "a", "agent_id": "b", "input": "c", "retry": {"max_attempts": 2}}]}
    (tmp_path / "a.json").write_text(json.dumps(plain))
    (tmp_path / "a.yaml").write_text("name: x\ntasks: [{id: a, agent_id: b, input: c, retry: {max_attempts: 2}}]\n")
    assert request_from(str(tmp_path / "a.json")) == request_from(str(tmp_path / "a.yaml"))
    assert request_from(str(tmp_path / "a.json")).tasks[0].retry.max_attempts == 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name: [", r"line 1, column 8|line 2, column 1"),
        ("- a", "is not a workflow"),
        ("name: x\ntask: []", 'no field named "task"'),
        ("name: x\ntasks: [{retry: {max_attempts: many}}]", "max_attempts|maxAttempts"),
    ],
)
def test_a_broken_workflow_file_is_named_with_the_place(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(text)
    with pytest.raises(CliError, match=complaint) as raised:
        request_from(str(file))
    assert str(file) in raised.value.message


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="No such file") as raised:
        document_of(str(tmp_path / "none.yaml"))
    assert raised.value.code is Exit.USAGE


def test_a_platform_that_does_not_run_is_reported_with_the_command_that_starts_it(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "AGENTMESH_API_KEY": "k", "AGENTMESH_SERVER": "http://localhost:1"}
    result = CliRunner().invoke(app, ["runs", "list"], env=environment)
    assert result.exit_code == Exit.UNAVAILABLE
    assert result.stderr.startswith("agentmesh: cannot reach http://localhost:1 (")
    assert result.stderr.endswith("); start the platform with `agentmesh up`, or name another --server\n")


def test_a_group_with_a_list_lists_by_default(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "AGENTMESH_API_KEY": "", "AGENTMESH_SERVER": ""}
    for arguments in (["executions"], ["runs", "--limit", "1"]):
        assert CliRunner().invoke(app, arguments, env=environment).exit_code == Exit.NOT_LOGGED_IN
    assert "Commands:" in CliRunner().invoke(app, ["runs", "--help"]).stdout


def test_the_shell_completes_commands(tmp_path: Path) -> None:
    environment = {**os.environ, "_AGENTMESH_COMPLETE": "complete_bash", "COMP_WORDS": "agentmesh workflows va", "COMP_CWORD": "2"}
    code = "from gateway.cli.__main__ import main; main()"
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout.split() == ["validate"]
