"""The form of prompts in the shipped catalogue: headings and lengths."""

import re
from collections.abc import Iterator

from catalogue.catalogue import Problem
from catalogue.lint.sources import SourceFile

HEADINGS = ("Role and yardstick", "What you are given", "How you decide", "Limits", "Answer")
MOST_PROMPT_WORDS = 450
LEAST_FOCUS_WORDS, MOST_FOCUS_WORDS = 110, 160

_MARKS = re.compile(r"^[#*_\s]*(.*?)[*_:\s]*$")


def out_of_bounds(source: SourceFile) -> Iterator[Problem]:
    """Missing or misplaced headings, and prompts and focus texts of the wrong length. Words are separated by white space."""
    prompt = source.document["prompt"]
    words = len(prompt.split())
    if words > MOST_PROMPT_WORDS:
        yield source.problem(("prompt",), f"has {words} words; use at most {MOST_PROMPT_WORDS}")
    headings = [line for line in map(_heading, prompt.splitlines()) if line in HEADINGS]
    if headings != list(HEADINGS):
        found = ", ".join(headings) or "none"
        yield source.problem(
            ("prompt",), f"must have one line for each of these headings, in this order: {', '.join(HEADINGS)}; found {found}"
        )
    for _, path, member in source.members():
        words = len(member.get("focus", "").split())
        if not LEAST_FOCUS_WORDS <= words <= MOST_FOCUS_WORDS:
            yield source.problem((*path, "focus"), f"has {words} words; use {LEAST_FOCUS_WORDS} to {MOST_FOCUS_WORDS}")


def _heading(line: str) -> str:
    """The line without Markdown marks and colon."""
    found = _MARKS.match(line)
    return found.group(1) if found else line
