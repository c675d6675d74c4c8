"""Phrases that fit every agent and say nothing about one."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from catalogue.catalogue import Problem
from catalogue.lint.sources import SourceFile
from catalogue.validation import FieldPath

PHRASES = tuple(line for line in Path(__file__).with_name("generic_phrases.txt").read_text(encoding="utf-8").splitlines() if line)
_GENERIC = re.compile(r"\b(?:" + "|".join(re.escape(phrase).replace(r"\ ", r"\s+") for phrase in PHRASES) + r")\b", re.IGNORECASE)


def generic_phrases(sources: Sequence[SourceFile]) -> Iterator[Problem]:
    """Each generic phrase in prompts, focus texts and descriptions: at its first place, with the number of its uses."""
    first: dict[str, tuple[SourceFile, FieldPath]] = {}
    uses: dict[str, int] = {}
    for source in sources:
        for path, text in _texts(source):
            for found in _GENERIC.findall(text):
                phrase = " ".join(found.lower().split())
                first.setdefault(phrase, (source, path))
                uses[phrase] = uses.get(phrase, 0) + 1
    for phrase, count in sorted(uses.items(), key=lambda item: (-item[1], item[0])):
        source, path = first[phrase]
        times = "once" if count == 1 else f"{count} times in the catalogue, first here"
        yield source.problem(path, f"has the generic phrase '{phrase}' ({times}); say what is meant")


def _texts(source: SourceFile) -> Iterator[tuple[FieldPath, str]]:
    yield ("prompt",), source.document["prompt"]
    for _, path, member in source.members():
        for key in ("description", "focus"):
            yield (*path, key), member.get(key, "")
