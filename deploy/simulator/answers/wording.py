"""Splits and shortens plain text."""

import re
from collections.abc import Iterator

_WRAP = re.compile(r"(?<!\n)\n(?!\n|\s*(?:[-*•#|>]|\d+[.)]\s))[ \t]*")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"”’)]*\s+(?=[\"“‘(]?[^\W\d_a-z])|\n+")
_LEADING_MARK = re.compile(r"^\s*(?:[-*•#>|]+|\d+[.)])\s+")


def unwrapped(text: str) -> str:
    """The text with every paragraph and every list item on one line."""
    return _WRAP.sub(" ", text)


def sentences_of(text: str) -> Iterator[str]:
    """The sentences and list items of an unwrapped text, without their list marks."""
    return (sentence for part in _SENTENCE_END.split(text) if (sentence := _LEADING_MARK.sub("", part).strip(" *#|")))


def shortened(text: str, most_words: int, most_characters: int = 240) -> str:
    """The text on one line, cut off with an ellipsis if it is too long."""
    words = text[: most_characters * 4].split()
    line = " ".join(words[:most_words])
    if len(line) > most_characters:
        line = line[:most_characters].rpartition(" ")[0] or line[:most_characters]
        return f"{line.rstrip(',;:')}…"
    return f"{line.rstrip(',;:')}…" if len(words) > most_words else line
