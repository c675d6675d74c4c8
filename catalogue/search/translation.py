"""Puts the words of German, Spanish and French searches into English, the language of the definitions.

A glossary of some 800 words is no translator, but the words that name the work are enough to find who does it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

from catalogue.search.stems import stem_in
from catalogue.search.words import words

ENGLISH = "english"
LEAST_OWN_WORDS = 0.12
"""A text is in a language if at least this share of its words are that language's small words, and more than English ones."""
_LONGEST_PHRASE = 3
_LEAST_PART = 4
"""Letters of the parts of a German compound."""
_LINKS = ("", "s", "es", "n", "en", "e")


@lru_cache(maxsize=8192)
def in_english(text: str) -> str:
    """The English words for a German, Spanish or French text, with the words that have no translation as they are.

    An English text stays as it is, and so does one whose language is not clear.
    """
    found = words(text)
    language = language_of(found)
    if language is None:
        return text
    known = _glossary(language)
    kept = [word for word in found if word not in _small_words()[language]]
    english: list[str] = []
    while kept:
        length, translated = _first_of(kept, language, known)
        english += translated
        kept = kept[length:]
    return " ".join(english) or text


@lru_cache(maxsize=4096)
def with_english(texts: tuple[str, ...]) -> str:
    """The texts in a row, each followed by its English words if it is in another language."""
    return " ".join(part for text in texts for part in dict.fromkeys((text, in_english(text))))


def language_of(found: Sequence[str]) -> str | None:
    """The language that has more small words in the text than the others; None for English and for unclear texts."""
    counts = {language: sum(word in small for word in found) for language, small in _small_words().items()}
    best = max(counts, key=lambda language: counts[language])  # English comes first, and wins if two have as many
    return best if best != ENGLISH and counts[best] >= max(1, LEAST_OWN_WORDS * len(found)) else None


def _first_of(kept: Sequence[str], language: str, known: Mapping[str, Sequence[str]]) -> tuple[int, Sequence[str]]:
    """The English words for the first word, or for the longest phrase at the beginning, and how many words that is."""
    stems = [_stem(word, language) for word in kept[:_LONGEST_PHRASE]]
    for length in range(len(stems), 0, -1):
        if found := known.get(" ".join(stems[:length])):
            return length, found
    parts = _parts(kept[0], known) if language == "german" else ()
    return 1, parts or (kept[0],)


def _parts(word: str, known: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """The English words for the parts of a German compound: both parts if both are known, otherwise the longest one that is."""
    whole = _stem(word, "german")
    splits = range(_LEAST_PART, len(word) - _LEAST_PART + 1)
    lasts = {split: known.get(whole[split:], ()) for split in splits}
    firsts = {split: next((known[part] for link in _LINKS if (part := word[:split].removesuffix(link)) in known), ()) for split in splits}
    for split in splits:
        if firsts[split] and lasts[split]:
            return [*firsts[split], *lasts[split]]
    longest_last = next((lasts[split] for split in splits if lasts[split]), ())
    return longest_last or next((firsts[split] for split in reversed(splits) if firsts[split]), ())


@cache
def _small_words() -> Mapping[str, frozenset[str]]:
    """The words that sentences of a language consist of for any topic. English comes first."""
    lines = Path(__file__).with_name("small_words.txt").read_text(encoding="utf-8").splitlines()
    return {language: frozenset(found.split()) for language, _, found in (line.partition(":") for line in lines)}


@cache
def _glossary(language: str) -> Mapping[str, Sequence[str]]:
    """The English words for each word or phrase of a language, as it is and stemmed."""
    lines = Path(__file__).with_name("glossary.tsv").read_text(encoding="utf-8").splitlines()
    header, *rows = [line.split("\t") for line in lines if not line.startswith("#")]
    column = header.index(language)
    known: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        for alternative in row[column].split(","):
            found = [word.replace("ß", "ss") for word in words(alternative) if word not in _small_words()[language]]
            for key in {" ".join(found), " ".join(_stem(word, language) for word in found)}:
                known[key].append(row[0])
    return dict(known)


def _stem(word: str, language: str) -> str:
    return stem_in(language, word.replace("ß", "ss"))
