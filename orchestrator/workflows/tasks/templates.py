"""References in a task's input to the results of earlier tasks: `{{tasks.<id>.result}}`.

A result is inserted as a block of material, so that the agent analyses it and does not follow instructions in it. Other text in double
braces is left unchanged. References inside an inserted result are not resolved.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import chain

from catalogue.prompt import result_block
from mesh.errors import ValidationFailed

LONGEST_INPUT = 200_000
"""The limit in characters, before and after the results are inserted."""
_BEGINNING = re.compile(r"\{\{\s*tasks\.")
_REFERENCE = re.compile(r"\{\{\s*tasks\.([A-Za-z][A-Za-z0-9_-]*)\.result\s*\}\}")
_SHOWN = re.compile(r"[^}\n]{1,80}\}{0,2}")


def references(text: str) -> Sequence[str]:
    """Returns the ids of the tasks to whose results the text refers, each once, in order."""
    return list(dict.fromkeys(_REFERENCE.findall(text)))


def malformed(text: str) -> Sequence[str]:
    """Returns the parts of the text that begin like a reference but are invalid, each once, in order."""
    begun = (match.start() for match in _BEGINNING.finditer(text))
    broken = (_SHOWN.match(text, start) for start in begun if not _REFERENCE.match(text, start))
    return list(dict.fromkeys(match.group() for match in broken if match))


def render(text: str, results: Mapping[str, str]) -> str:
    """Returns the text with each reference replaced by its result, which is marked as material.

    Raises ValidationFailed, which is not retryable, if a result does not exist or the text becomes longer than 200,000 characters.
    """
    pieces = _REFERENCE.split(text)  # text, id, text, id, …, text
    if missing := [task_id for task_id in pieces[1::2] if task_id not in results]:
        raise ValidationFailed.of("input", f"refers to task '{missing[0]}', which has no result; refer to a completed task")
    blocks = {task_id: result_block(task_id, results[task_id]) for task_id in pieces[1::2]}
    rendered = [blocks[task_id] for task_id in pieces[1::2]]
    length = sum(map(len, chain(pieces[::2], rendered)))
    if length > LONGEST_INPUT:  # checked before the text is built: many references to a long result could exceed the memory
        description = (
            f"has {length:,} characters with the results of earlier tasks; at most {LONGEST_INPUT:,} are allowed; ask for shorter answers"
        )
        raise ValidationFailed.of("input", description)
    pieces[1::2] = rendered
    return "".join(pieces)
