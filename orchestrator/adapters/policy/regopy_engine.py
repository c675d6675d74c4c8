"""Evaluates the policy in this process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from regopy import Interpreter, RegoError

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.memory.brief_memory import BriefMemory
from orchestrator.policy.errors import PolicyUnavailable
from orchestrator.policy.model import Denial, Question

REMEMBERED_SECONDS = 1.0
"""How long a grant is remembered for the same question. Only rules that depend on the time of day could have changed."""
REMEMBERED = 10_000
_ALLOW, _DENIAL = "agents/allow", "agents/denial"


class PolicyUnreadable(Exception):
    """The folder of POLICY_PATH does not contain a usable policy."""


class RegopyPolicy:
    """The rules and data of a folder, compiled once. A question takes 0.15 ms, a remembered grant next to nothing.

    Evaluation blocks, and must stay in one thread because the interpreter holds the input. Raises PolicyUnreadable for a folder
    without a usable policy.
    """

    def __init__(self, folder: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self._interpreter = Interpreter()
        self._grants: BriefMemory[Question, bool] = BriefMemory(self._granted, REMEMBERED_SECONDS, REMEMBERED, clock)
        try:
            for path in _rules(folder):
                self._interpreter.add_module(path.name, path.read_text())
            self._interpreter.add_data(_data(folder))
            self._bundle = self._interpreter.build(None, [_ALLOW, _DENIAL])
        except (OSError, RegoError, yaml.YAMLError, ValueError) as error:
            raise PolicyUnreadable(f"the policy in {folder} cannot be read: {error}") from error
        if not self._bundle.ok():
            raise PolicyUnreadable(f"the policy in {folder} cannot be compiled; run `opa check {folder}` to see why")

    async def allows(self, question: Question) -> bool:
        """Whether `data.agents.allow` is true."""
        return await self._grants.get(question) is True

    async def denial(self, question: Question) -> Denial | None:
        """The value of `data.agents.denial`."""
        return Denial.of(self._ask(_DENIAL, question))

    async def _granted(self, question: Question) -> bool | None:
        """True or None, because denials are not remembered."""
        return True if self._ask(_ALLOW, question) is True else None

    def _ask(self, entrypoint: str, question: Question) -> Any:
        """The value of a rule; None for undefined."""
        try:
            self._interpreter.set_input(question.document())
            output = self._interpreter.query_bundle_entrypoint(self._bundle, entrypoint)
        except RegoError as error:
            raise PolicyUnavailable(f"regopy: {error}") from error
        if not output.ok():
            raise PolicyUnavailable(f"regopy: {output}")
        # Not output.expressions(): it crashes the process for an undefined rule (regopy 1.5.2).
        values = output.results[0].expressions if output.results else []
        if not values and entrypoint == _ALLOW:
            raise PolicyUnavailable("data.agents.allow is undefined")
        return values[0] if values else None


def _rules(folder: Path) -> list[Path]:
    rules = [path for path in sorted(folder.glob("*.rego")) if not path.stem.endswith("_test")]
    if not rules:
        raise FileNotFoundError("it contains no *.rego file")
    return rules


def _data(folder: Path) -> Mapping[str, Any]:
    """The YAML files as one document, merged as OPA does; raises ValueError if two files have the same key."""
    merged: dict[str, Any] = {}
    for path in sorted(folder.glob("*.yaml")):
        document = yaml.safe_load(path.read_text()) or {}
        if not isinstance(document, dict) or merged.keys() & document.keys():
            raise ValueError(f"{path.name} must be a mapping without keys of the other files")
        merged |= document
    return merged
