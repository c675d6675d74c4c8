"""Turns text into the terms that are indexed and searched."""

import re
import unicodedata
from pathlib import Path

from catalogue.search.stems import stem_in

_WORD = re.compile(r"\w+")
_ACCENTS = re.compile(r"[\u0300-\u036f]")
STOP_WORDS = frozenset(Path(__file__).with_name("stop_words.txt").read_text().split())
"""Words that say nothing about the work, in English, German, Spanish and French."""


def words(text: str) -> list[str]:
    """The words of a text in order: lower case, without accents. An underscore separates words."""
    lower = text.lower().replace("_", " ")
    if not lower.isascii():
        lower = _ACCENTS.sub("", unicodedata.normalize("NFKD", lower))
    return _WORD.findall(lower)


def search_words(text: str) -> list[str]:
    """The distinct words of a search that are not stop words; all of its words if it has no others."""
    found = list(dict.fromkeys(words(text)))
    return [word for word in found if word not in STOP_WORDS] or found


def stem(word: str) -> str:
    """The English stem of a word. Words of other languages and scripts stay nearly as they are."""
    return stem_in("english", word)
