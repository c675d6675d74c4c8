"""Focus texts that are nearly the same."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from catalogue.catalogue import Problem
from catalogue.lint.sources import SourceFile
from catalogue.search.words import words

SHINGLE_WORDS = 3
MOST_SIMILAR = 0.5
MOST_SIMILAR_SIBLINGS = 0.3
"""The most that two focus texts may have in common: shared shingles as a part of all their shingles (Jaccard)."""

Shingles = frozenset[tuple[str, ...]]
_NONE = np.array([], np.int64)


def near_duplicates(sources: Sequence[SourceFile]) -> Iterator[Problem]:
    """Each focus text that is too similar to an earlier one, with the most similar of them."""
    members = [(source, agent, path, shingles_of(agent.focus)) for source in sources for agent, path, _ in source.members()]
    containing = _postings([member[3] for member in members])
    sizes = np.array([len(member[3]) for member in members])
    roles = np.array([f"{agent.category} {agent.role}" for _, agent, _, _ in members])
    for place, (source, _, path, own) in enumerate(members):
        shared = np.zeros(place)
        for shingle in own:
            rows = containing.get(shingle, _NONE)
            shared[rows[rows < place]] += 1
        similarity = shared / np.maximum(sizes[:place] + len(own) - shared, 1)
        limits = np.where(roles[:place] == roles[place], MOST_SIMILAR_SIBLINGS, MOST_SIMILAR)
        excess = np.where(similarity > limits, similarity, 0.0)
        if excess.any():
            other = int(excess.argmax())
            message = (
                f"shares {excess[other]:.2f} of its shingles with '{members[other][1].agent_id}'; at most {limits[other]} is allowed, "
                "so rewrite one of them"
            )
            yield source.problem((*path, "focus"), message)


def _postings(texts: Sequence[Shingles]) -> Mapping[tuple[str, ...], NDArray[np.int64]]:
    """The texts that contain each shingle, if it is in more than one."""
    containing: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, shingles in enumerate(texts):
        for shingle in shingles:
            containing[shingle].append(place)
    return {shingle: np.array(places) for shingle, places in containing.items() if len(places) > 1}


def shingles_of(text: str) -> Shingles:
    """All runs of three words."""
    found = words(text)
    return frozenset(tuple(found[at : at + SHINGLE_WORDS]) for at in range(len(found) - SHINGLE_WORDS + 1))
