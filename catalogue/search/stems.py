"""Stems of words, by the Snowball algorithms in C."""

import threading
from functools import lru_cache

import Stemmer

_own = threading.local()
"""A stemmer must not be used by two threads at once, and the index is built in one of its own."""


@lru_cache(maxsize=200_000)
def stem_in(language: str, word: str) -> str:
    """The stem of a word of this language."""
    stemmers: dict[str, Stemmer.Stemmer] = _own.__dict__.setdefault("stemmers", {})
    if language not in stemmers:
        stemmers[language] = Stemmer.Stemmer(language)
    return str(stemmers[language].stemWord(word))
