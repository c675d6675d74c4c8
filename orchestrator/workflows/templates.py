"""References in a task's input to what earlier tasks have answered: `{{tasks.<id>.result}}`.

Nothing else in double braces is ours: it stays as it is. An answer that was put in is text; references in it are not followed.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import chain

from mesh.errors import ValidationFailed

LONGEST_INPUT = 200_000
"""Characters, before and after the answers are put in."""
_BEGINNING = re.compile(r"\{\{\s*tasks\.")
_REFERENCE = re.compile(r"\{\{\s*tasks\.([A-Za-z][A-Za-z0-9_-]*)\.result\s*\}\}")
_SHOWN = re.compile(r"[^}\n]{1,80}\}{0,2}")


def references(text: str) -> Sequence[str]:
    """The ids of the tasks to whose results a text refers, each once, in order."""
    return list(dict.fromkeys(_REFERENCE.findall(text)))


def malformed(text: str) -> Sequence[str]:
    """What in a text begins like a reference and is none, each once, in order."""
    begun = (match.start() for match in _BEGINNING.finditer(text))
    broken = (_SHOWN.match(text, start) for start in begun if not _REFERENCE.match(text, start))
    return list(dict.fromkeys(match.group() for match in broken if match))


def render(text: str, results: Mapping[str, str]) -> str:
    """The text with the results in the place of the references.

    Raises ValidationFailed, which no repetition helps, for a reference to a result that is not there and for a text that becomes
    longer than 200,000 characters.
    """
    pieces = _REFERENCE.split(text)  # text, id, text, id, …, text
    if missing := [task_id for task_id in pieces[1::2] if task_id not in results]:
        raise ValidationFailed.of("input", f"refers to the result of task '{missing[0]}', which there is not")
    rendered = [results[task_id] for task_id in pieces[1::2]]
    length = sum(map(len, chain(pieces[::2], rendered)))
    if length > LONGEST_INPUT:  # counted before it is made: many references to a long answer are more than memory lease_ids
        description = (
            f"has {length:,} characters with the results of earlier tasks put in, and may have {LONGEST_INPUT:,}; ask for shorter answers"
        )
        raise ValidationFailed.of("input", description)
    pieces[1::2] = rendered
    return "".join(pieces)
