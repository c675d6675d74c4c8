"""The command line `agentmesh` against the whole platform: the calls of the README, sessions, watches that resume, errors."""

import asyncio
import json
import os
import re
import shlex
import stat
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.__main__ import app
from gateway.cli.exits import Exit
from gateway.cli.profiles import Profiles
from tests.contract.gateway.relay import Relay
from tests.e2e.definitions import AGENT, STRICT, TRIALS
from tests.e2e.platform import Platform, question
from tests.e2e.workflows import AT_ONCE, Workflows, task
from tests.support.command_lines import documented_calls, routes, workflow_file
from tests.support.waiting import eventually

PASSWORD = "a long password"
RPC = re.compile(r"^/(agentmesh\S+) (?:OK|started)", re.MULTILINE)
Run = Callable[..., Coroutine[Any, Any, Result]]


@pytest.fixture
def variables(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a user who has an API key and no profile."""
    monkeypatch.chdir(tmp_path)
    given = {"XDG_CONFIG_HOME": str(tmp_path), "AGENTMESH_SERVER": platform.stack.gateway_url, "AGENTMESH_PASSWORD": PASSWORD}
    return {**given, "AGENTMESH_API_KEY": platform.stack.credentials.token}


@pytest.fixture
def run(variables: dict[str, str]) -> Run:
    """Runs a command as a program would, whose output is no terminal."""

    async def invoke(line: str, environment: Mapping[str, str] = variables) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, shlex.split(line), env=environment)

    return invoke


async def test_every_curl_of_the_readme_is_one_line(run: Run, tmp_path: Path) -> None:
    """Each documented line succeeds, and calls the rpc that has the route of the curl command."""
    (tmp_path / "bikes.yaml").write_text(workflow_file())
    known, rpcs = routes(), {}
    values: dict[str, str] = {}
    later: list[tuple[str, str]] = []
    for call in documented_calls():
        name, line = re.fullmatch(r"(?:(\w+)=\$\()?(.*?)\)?(?: &)?", call.line).groups()  # type: ignore[union-attr]
        for variable, value in values.items():
            line = line.replace(f"${variable}", value)
        if call.line.endswith(" &"):
            later.append((call.route, line))
            continue
        line = f"{line} --count 3" if "events tail" in line else line

        async def done(line: str = line) -> Result | None:
            """A step waits for a decision only when those before it are done."""
            result = await _all(run, line)
            return result if result.exit_code == Exit.DONE or "approvals" not in line else None

        result = await eventually(done)
        assert result.exit_code == Exit.DONE, (line, result.output)
        rpcs[call.route] = RPC.findall(result.stderr)[-1]
        if name:
            values[name] = result.stdout.strip()
        if "decide" in call.route:
            for route, line in later:
                result = await run(f"--verbose {line.removeprefix('agentmesh ')}")
                assert result.exit_code == Exit.DONE, result.output
                rpcs[route] = RPC.findall(result.stderr)[-1]
    assert rpcs == {call.route: known[call.route] for call in documented_calls()}


async def _all(run: Run, line: str) -> Result:
    for command in line.split(" && "):
        result = await run(f"--verbose {command.removeprefix('agentmesh ')}")
        if result.exit_code != Exit.DONE:
            break
    return result


async def test_a_session_is_private_and_its_token_is_replaced_once(run: Run, variables: dict[str, str], tmp_path: Path) -> None:
    """Two commands with the same expired token at the same time: one refreshes it, both succeed."""
    user = {key: value for key, value in variables.items() if key != "AGENTMESH_API_KEY"} | {"AGENTMESH_API_KEY": ""}
    name = f"ada-{tmp_path.name}"
    assert (await run(f"register {name}", user)).exit_code == Exit.DONE
    assert (await run("whoami", user)).exit_code == Exit.NOT_LOGGED_IN
    assert (await run(f"login --username {name}", user)).exit_code == Exit.DONE
    file = tmp_path / "agentmesh/profiles/default.json"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent, file.parent.parent)] == [0o600, 0o700, 0o700]

    profiles = Profiles.of(user)
    before = profiles.load("default")
    profiles.save(replace(before, expires_at=0))
    found = await asyncio.gather(*(_subprocess("--verbose whoami --output json", user) for _ in range(2)))
    assert [code for code, _, _ in found] == [0, 0], found
    assert {json.loads(out)["user"]["username"] for _, out, _ in found} == {name}
    assert sum(errors.count("AuthService/RefreshToken") for _, _, errors in found) == 1
    assert profiles.load("default").access_token != before.access_token

    elsewhere = await run("whoami", user | {"AGENTMESH_SERVER": "http://localhost:1"})
    assert (elsewhere.exit_code, "is logged in to" in elsewhere.stderr) == (Exit.NOT_LOGGED_IN, True)
    assert (await run("logout", user)).exit_code == Exit.DONE
    assert not profiles.load("default").logged_in
    profiles.save(profiles.load("default").with_tokens(before.access_token, "", 3600))
    assert (await run("whoami", user)).exit_code == Exit.NOT_LOGGED_IN  # the session has ended on the server too


async def _subprocess(line: str, environment: Mapping[str, str]) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", *shlex.split(line)),
        cwd=Path(__file__).parents[3],
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    return process.returncode, out.decode(), errors.decode()


async def test_a_watch_continues_after_a_broken_connection(run: Run, workflows: Workflows, variables: dict[str, str]) -> None:
    """Every change is printed once, and the exit code is that of the run."""
    platform = workflows.platform
    created = await workflows.create(task("first"), task("second", depends_on=["first"], approval={"message": "Go on?"}))
    run_id = (await workflows.execute(created["workflow_id"]))["run_id"]
    await workflows.reached(run_id, "RUN_STATUS_WAITING_APPROVAL")
    relay = Relay()
    relay.target = platform.stack.ports.gateway
    await relay.accept()
    through = variables | {"AGENTMESH_SERVER": f"http://localhost:{relay.port}"}
    watching = asyncio.create_task(run(f"runs watch {run_id} --output json", through))
    await eventually(lambda: bool(relay.connections))
    await relay.refuse()
    await workflows.decide(run_id, "second", "APPROVED")
    await workflows.ended(run_id)
    await relay.accept()
    result = await asyncio.wait_for(watching, 30)
    await relay.refuse()
    assert result.exit_code == Exit.DONE, result.output
    assert "Connection lost" in result.stderr
    changes = [event["sequence"] for event in map(json.loads, result.stdout.splitlines()) if {"run", "step"} & event.keys()]
    assert changes == list(range(1, len(changes) + 1))
    assert json.loads(result.stdout.splitlines()[-1])["done"]["status"] == "RUN_STATUS_COMPLETED"


async def test_a_failed_run_has_its_own_exit_code(run: Run, workflows: Workflows) -> None:
    text = question()
    await workflows.platform.provider.fault("refusal", text)
    created = await workflows.create(task("only", text, retry={"max_attempts": 1, **AT_ONCE}))
    result = await run(f"workflows run {created['workflow_id']} --watch")
    assert result.exit_code == Exit.RUN_FAILED, result.output
    assert f"agentmesh runs show {created['workflow_id']}" not in result.stderr
    assert "\tfailed" in result.stdout


async def test_an_error_says_what_to_do(run: Run, tmp_path: Path) -> None:
    nobody = await run("agents run nobody_agent_1_1 hello")
    assert nobody.exit_code == Exit.NOT_FOUND
    assert nobody.stdout == ""
    line = nobody.stderr.splitlines()[-1]
    assert re.search(r"\[AGENT_NOT_FOUND, req_[0-9a-f-]+\]; find agents with `agentmesh agents search WORDS`$", line)
    invalid = await run(f"agents run {STRICT} hello --context audience=cats --output json")
    error = json.loads(invalid.stderr)["error"]
    assert (invalid.exit_code, error["code"]) == (Exit.INVALID, "VALIDATION_ERROR")
    assert error["details"]["field_violations"][0]["field"] == "context.audience"
    broken = [{"id": "a", "agent_id": AGENT, "input": "x"}, {"id": "b", "agent_id": AGENT, "input": "x", "depends_on": ["a", "c"]}]
    (tmp_path / "broken.yaml").write_text(json.dumps({"name": "x", "tasks": broken}))
    refused = await run("workflows validate -f broken.yaml")
    assert (refused.exit_code, "tasks[1].depends_on[1]" in refused.stderr) == (Exit.INVALID, True)
    assert (await run("workflows list --status waiting")).exit_code == Exit.USAGE


async def test_a_stream_is_the_answer_and_nothing_else(run: Run) -> None:
    """So that it can be piped: what it cost goes to standard error."""
    text = question()
    streamed = await run(f"agents run {AGENT} {shlex.quote(text)} --stream")
    called = await run(f"agents run {AGENT} {shlex.quote(text)} --output json")
    assert streamed.exit_code == called.exit_code == Exit.DONE
    assert streamed.stdout.strip() == json.loads(called.stdout)["result"].strip()
    assert "tokens · $" in streamed.stderr


async def test_lists_are_lines_documents_or_csv(run: Run) -> None:
    lines = (await run("agents list --category trials")).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == list(TRIALS)
    document = json.loads((await run("agents list --category trials --output json")).stdout)
    assert [agent["agent_id"] for agent in document["agents"]] == list(TRIALS)
    rows = (await run("analytics timeseries --since 2d --output csv")).stdout.splitlines()
    assert rows[0].startswith("start,calls,completed,failed")
    assert len(rows) >= 2
    keys = await run("keys create laptop --scope read")
    assert keys.stdout.startswith("amk_")
    assert (await run("users list --output yaml")).stdout.startswith("users:\n")


async def test_the_doctor_names_a_problem_in_one_line(run: Run, variables: dict[str, str], tmp_path: Path) -> None:
    """A wrong key and a secret that others can read, besides what is wrong with the machine."""
    profiles = Profiles.of(variables)
    profiles.save(profiles.load("default"))
    file = tmp_path / "agentmesh/profiles/default.json"
    file.chmod(0o644)
    result = await run("doctor --output json", variables | {"AGENTMESH_API_KEY": "amk_wrong", "DEFINITIONS_PATH": str(tmp_path)})
    assert result.exit_code == Exit.UNHEALTHY, result.output
    problems = {finding["check"]: finding["finding"] for finding in json.loads(result.stdout)["findings"] if finding["level"] == "problem"}
    assert problems["files"] == f"others can read {file}"
    assert "credential" in problems
