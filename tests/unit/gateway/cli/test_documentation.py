"""docs/cli.md agrees with the code and with the README."""

import re
import subprocess
import sys
from typing import Any

import pytest
from agentmesh.execution.v1 import execution_pb2
from agentmesh.workflow.v1 import workflow_pb2
from typer.main import get_command
from typer.testing import CliRunner

from gateway.cli.__main__ import app
from gateway.cli.advice import ADVICE
from gateway.cli.commands.states import STATES
from gateway.cli.exits import Exit, exit_of
from gateway.cli.words import state_of
from mesh.rpc.status import TABLE
from tests.support.command_lines import REFERENCE, ROOT, calls_of_readme, documented_calls


def test_every_exit_code_is_documented() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", REFERENCE.read_text(), re.MULTILINE)
    assert rows == [(str(code.value), code.meaning) for code in Exit]


def test_every_curl_of_the_readme_has_a_command() -> None:
    """And nothing else is listed there."""
    assert {call.route for call in documented_calls()} == calls_of_readme()


def test_every_reason_has_advice_and_an_exit_code() -> None:
    assert ADVICE.keys() == TABLE.keys()
    odd = {reason for reason, row in TABLE.items() if exit_of(row.http_status) is Exit.REFUSED}
    assert odd == {"CANCELLED", "METHOD_NOT_ALLOWED", "NOT_IMPLEMENTED"}
    assert exit_of(TABLE["SERVICE_UNAVAILABLE"].http_status) is Exit.UNAVAILABLE


def test_options_name_every_state() -> None:
    modules = {"WorkflowStatus": workflow_pb2, "RunStatus": workflow_pb2, "ExecutionStatus": execution_pb2}
    for name, words in STATES.items():
        enum = getattr(modules[name], name).DESCRIPTOR
        assert [state_of(enum, value.number).replace(" ", "-") for value in enum.values[1:]] == list(words)


@pytest.mark.parametrize("document", ["README.md", "docs/cli.md"])
def test_every_command_in_a_document_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    code = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL) + re.findall(r"`(agentmesh [^`]*)`", text))
    commands = re.findall(r"(?<![/.])\bagentmesh((?: [a-z][a-z-]+)+)", code)
    assert commands
    assert [words for words in commands if not resolves(words.split())] == []


def resolves(words: list[str]) -> bool:
    """Whether the words name a command; those after it are its arguments."""
    command: Any = get_command(app)
    for word in words:
        if not (known := getattr(command, "commands", None)):
            return True
        if word not in known:
            return False
        command = known[word]
    return True


def leaves(command: Any) -> list[Any]:
    children = getattr(command, "commands", None)
    return [leaf for child in children.values() for leaf in leaves(child)] if children else [command]


def test_the_examples_in_help_exist() -> None:
    examples = [line for leaf in leaves(get_command(app)) for line in re.findall(r"agentmesh((?: [a-z][a-z-]+)+)", leaf.epilog or "")]
    assert len(examples) > 20
    assert [line for line in examples if not resolves(line.split())] == []


def test_help_loads_neither_grpc_nor_the_platform() -> None:
    """They take longer to load than everything else."""
    heavy = "{'grpc', 'rich', 'yaml', 'google.protobuf', 'deploy', 'catalogue'} & sys.modules.keys()"
    code = f"import sys\nfrom gateway.cli.__main__ import app\ntry: app(['--help'])\nexcept SystemExit: sys.exit(str({heavy}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == "set()"
    assert "agents" in ended.stdout


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(app, ["agents", "dance"]).exit_code == Exit.USAGE
