"""Finds the subject, topics, figures and questions of an input with simple rules."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from deploy.simulator.answers.wording import sentences_of, shortened, unwrapped

READ_FIRST, READ_LAST = 500, 250
"""Characters of a long input that are analysed: the subject is usually at the start, the question at the end. This bounds the time."""

_FIGURE = re.compile(
    r"(?<![\w.,/-])[$€£]?\d+(?:[.,]\d+)*"
    r"(?:\s?(?:%|percent|per cent|k|m|bn|thousand|million|billion|usd|eur|gbp|dollars?|euros?|"
    r"ms|seconds?|minutes?|hours?|days?|weeks?|months?|years?)(?!\w))?"
    r"(?![\w/-])",
    re.IGNORECASE,
)
_MONEY = re.compile(r"[$€£]|usd|eur|gbp|dollar", re.IGNORECASE)
_SHARE = re.compile(r"%|per\s?cent", re.IGNORECASE)
_TIME = re.compile(r"(?:ms|second|minute|hour|day|week|month|year)s?$", re.IGNORECASE)
_PUNCTUATION = ".,;:!?()[]{}<>\"'“”‘’«»*_#|`/\\"
_WITHOUT_MEANING = """
a about above after again all also am an and any are as at back be because been before being below between both but by can cannot
check could decide did do does doing done down during each every few first for from further get give given go goes got had has have
having he help her here how i if in into is it its itself just kindly last let like list listed look make many may me might more most
much must my need needs new next no nor not now of off on once one only or order other our out over own per plan please same second
see shall she should show so some such take tell than that the their them then there these they this those through to too two under
until up us use using very via want was way we well were what when where which while who whom whose why will with within without would
write yes you your
"""
_STOP_WORDS = frozenset(_WITHOUT_MEANING.split())
MOST_FIGURES = 3
MOST_QUESTIONS = 2
MOST_TOPICS = 3
_LAST_RESORT = ("the request itself", "the evidence behind it", "the decision that follows")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number in the input with the words around it. `kind` is share, money, time or count."""

    text: str
    context: str
    kind: str


@dataclass(frozen=True, slots=True)
class Brief:
    """What the input is about."""

    subject: str
    topics: tuple[str, ...]
    """Three phrases that the input is about, the most frequent first."""
    figures: tuple[Figure, ...]
    questions: tuple[str, ...]


def extract_of(text: str) -> str:
    """The part of an input that is analysed: all of it, or its beginning and its end."""
    if len(text) <= READ_FIRST + READ_LAST:
        return text
    return f"{text[:READ_FIRST].rpartition(' ')[0]}\n{text[-READ_LAST:].partition(' ')[2]}"


def brief_of(extract: str) -> Brief:
    text = unwrapped(extract)
    sentences = list(sentences_of(text))
    subject = next((sentence for sentence in sentences if len(sentence.split()) > 3), sentences[0] if sentences else "An empty request")
    return Brief(
        subject=shortened(subject, 14, 90).rstrip("."),
        topics=_topics_in(text),
        figures=tuple(_figures_in(text)),
        questions=tuple(shortened(one, 18) for one in sentences if one.endswith("?"))[:MOST_QUESTIONS],
    )


def _topics_in(text: str) -> tuple[str, ...]:
    counted = Counter(phrase for phrase in _phrases_in(text) if len(phrase) > 3)
    chosen: list[str] = []
    for phrase in sorted(counted, key=lambda phrase: (-counted[phrase], " " not in phrase, -len(phrase))):
        if not any(set(phrase.lower().split()) & set(other.lower().split()) for other in chosen):
            chosen.append(phrase)
        if len(chosen) == MOST_TOPICS:
            break
    return (*chosen, *_LAST_RESORT)[:MOST_TOPICS]


def _phrases_in(text: str) -> Iterator[str]:
    """Phrases of one or two words that are not stop words, in the order of the text."""
    run: list[str] = []
    for token in text.split():
        word = token.strip(_PUNCTUATION)
        carries = word[:1].isalpha() and len(word) <= 40 and word.lower() not in _STOP_WORDS
        if carries:
            run.append(word)
        # Punctuation ends a phrase, as a stop word does.
        if run and (not carries or len(run) == 2 or token[-1] in _PUNCTUATION):
            yield " ".join(run)
            run = []
    if run:
        yield " ".join(run)


def _figures_in(text: str) -> Iterator[Figure]:
    seen: set[str] = set()
    for found in _FIGURE.finditer(text):
        figure = found.group().strip()
        # The number of a list item does not count.
        if figure in seen or text[found.end() : found.end() + 2] in (". ", ") "):
            continue
        seen.add(figure)
        yield Figure(figure, _around(text, *found.span()), _kind_of(figure))
        if len(seen) == MOST_FIGURES:
            return


def _around(text: str, start: int, end: int) -> str:
    before = text[text.rfind("\n", 0, start) + 1 : start][-60:].split(" ")[-5:]
    after = text[end : end + 60].partition("\n")[0].split(" ")[:5]
    return f"{' '.join(before)}{text[start:end]}{' '.join(after)}".strip(" ,;:")


def _kind_of(figure: str) -> str:
    if _MONEY.search(figure):
        return "money"
    if _SHARE.search(figure):
        return "share"
    return "time" if _TIME.search(figure) else "count"
