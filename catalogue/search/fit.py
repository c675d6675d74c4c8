"""How well an agent fits a piece of work, on a scale that means the same for every search: 0 to 1."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

LEAST_FITTING = 0.15
"""If the best agent fits less, no agent is made for the work."""


class Request(NamedTuple):
    """What is known about a search before its agents are looked at one by one."""

    words: int
    """The distinct words that count; keywords that an agent has all of count as a sentence."""
    closest: float
    """The highest cosine similarity with an agent."""
    out_of_reach: float
    """The highest cosine similarity with a request that no agent can meet."""


_SCORE, _CLOSEST, _OUT_OF_REACH, _WORDS, _INTERCEPT = 8.66, 11.28, -3.46, 8.4, -20.55
"""A logistic regression. Fitting sentences: 400 queries and 200 examples of shipped agents, each left out of the index. Others: the
requests of out_of_reach.txt, each left out of its own list. Both kinds had the same weight."""


def fit(scores: Scores, request: Request) -> Scores:
    """How likely agents with these scores are made for the work."""
    constant = _CLOSEST * request.closest + _OUT_OF_REACH * request.out_of_reach + _WORDS * np.log1p(request.words) + _INTERCEPT
    return np.asarray(1 / (1 + np.exp(-(_SCORE * scores + constant))), np.float64)


@cache
def requests_out_of_reach() -> tuple[str, ...]:
    """Requests that no agent can meet."""
    lines = Path(__file__).with_name("out_of_reach.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))
