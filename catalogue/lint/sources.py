"""Definition files as the lint sees them: the parsed document, and the line of each value."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from catalogue.catalogue import Catalogue, Problem
from catalogue.files.documents import Lines, parse_json, parse_yaml
from catalogue.model import AgentDefinition
from catalogue.validation import FieldPath, field_path


class SourceFile:
    """A valid definition file and its agents, in the order of the file."""

    def __init__(self, path: Path, agents: tuple[AgentDefinition, ...]) -> None:
        self.path = path
        self.agents = agents
        self._text = path.read_text(encoding="utf-8-sig")

    @cached_property
    def document(self) -> Mapping[str, Any]:
        parsed = parse_json(self._text) if self.path.suffix.lower() == ".json" else parse_yaml(self._text)
        return dict(parsed)

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self._text)

    def members(self) -> Iterator[tuple[AgentDefinition, FieldPath, Mapping[str, Any]]]:
        """Each agent with its part of the document and the path of that part."""
        if "agents" not in self.document:
            yield self.agents[0], (), self.document
            return
        for index, (agent, member) in enumerate(zip(self.agents, self.document["agents"], strict=True)):
            yield agent, ("agents", index), member

    def problem(self, path: FieldPath, message: str) -> Problem:
        """A problem of the value at `path`, or of its nearest parent that exists."""
        line = self._lines.of(path)
        where = f"{field_path(path) or 'the file'} {message}"
        return Problem(self.path, where if line is None else f"line {line}: {where}")


def sources_of(catalogue: Catalogue) -> list[SourceFile]:
    """The valid files of a catalogue that was read from files."""
    return [SourceFile(path, file.agents) for path, file in catalogue.files.items() if file.agents]
