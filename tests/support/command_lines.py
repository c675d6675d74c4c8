"""The commands in docs/cli.md that do the same as the curl commands of the README."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agentmesh.analytics.v1 import analytics_service_pb2
from agentmesh.event.v1 import event_service_pb2
from agentmesh.execution.v1 import execution_service_pb2
from agentmesh.identity.v1 import identity_service_pb2
from agentmesh.registry.v1 import registry_service_pb2
from agentmesh.workflow.v1 import workflow_service_pb2
from google.api import annotations_pb2

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/cli.md"
_PACKAGES = (
    *(analytics_service_pb2, event_service_pb2, execution_service_pb2),
    *(identity_service_pb2, registry_service_pb2, workflow_service_pb2),
)


@dataclass(frozen=True)
class Documented:
    """A route, such as `GET /api/v1/agents`, and the line that calls it."""

    route: str
    line: str


def routes() -> dict[str, str]:
    """The rpc of every route: `GET /api/v1/agents` → `agentmesh.registry.v1.RegistryService/ListAgents`."""
    found: dict[str, str] = {}
    for package in _PACKAGES:
        for service in package.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                rule = method.GetOptions().Extensions[annotations_pb2.http]
                for binding in (rule, *rule.additional_bindings):
                    kind = binding.WhichOneof("pattern")
                    if kind:
                        found[f"{kind.upper()} {getattr(binding, kind)}"] = f"{service.full_name}/{method.name}"
    return found


def documented_calls() -> list[Documented]:
    """The calls of docs/cli.md, in their order."""
    section = REFERENCE.read_text().split("## The calls of the README")[1].split("\n## ")[0]
    return [Documented(*pair) for pair in re.findall(r"^# ([A-Z]+ /\S+)\n(.+)$", section, re.MULTILINE)]


def workflow_file() -> str:
    """The example of a workflow in docs/cli.md."""
    return str(re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text(), re.DOTALL)[0])


def calls_of_readme() -> set[str]:
    """The routes of all curl commands in the README."""
    text = (ROOT / "README.md").read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    return {_route(_words(command)) for command in re.split(r"\bcurl ", blocks)[1:]}


def _words(text: str) -> list[str]:
    """The words up to the end of the command."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t", "", True
    words = []
    for word in lexer:
        if word[0] in "();<>|&\n":
            break
        words.append(word)
    return words


def _route(words: list[str]) -> str:
    path = next(urlsplit(f"//{word}").path for word in words if word.startswith("localhost:8000"))
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"
    known = routes()
    if f"{method} {path}" in known:
        return f"{method} {path}"
    matching = [route for route in known if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), f"{method} {path}")]
    assert len(matching) == 1, f"{matching} have the route {method} {path}"
    return str(matching[0])
