"""Finds the ids that look most like one that does not exist."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

_LONGEST = 100
_COMMON = 300
"""Trigrams in more ids than this distinguish nothing, and would make a look-up slow: it runs on the event loop, 1 to 2 ms at most."""


class NearestIds:
    """An index of ids by their trigrams, built at the first question."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._ids = tuple(ids)
        self._with: dict[str, list[int]] = {}

    def to(self, wanted: str, most: int = 3) -> Sequence[str]:
        """At most so many ids, the most similar first; none if no id shares three characters in a row."""
        if not self._with:
            self._with = _index(self._ids)
        shared: Counter[int] = Counter()
        for trigram in _trigrams(wanted[:_LONGEST].lower()):
            places = self._with.get(trigram, [])
            if len(places) <= _COMMON:
                shared.update(places)
        ranked = sorted(shared, key=lambda place: (-shared[place] / (len(self._ids[place]) + len(wanted)), place))
        return [self._ids[place] for place in ranked[:most]]


def _index(ids: Sequence[str]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for place, one in enumerate(ids):
        for trigram in _trigrams(one):
            found[trigram].append(place)
    return dict(found)


def _trigrams(text: str) -> set[str]:
    padded = f"^{text}$"
    return {padded[at : at + 3] for at in range(len(padded) - 2)}
