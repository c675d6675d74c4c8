"""Histograms with fixed logarithmic slots: each slot is 10 % wider than the one before.

They merge by addition. A percentile is accurate within 5 %: it is reported as the geometric middle of its slot, and the ends of a slot are
4.9 % away from there.
"""

from collections.abc import Mapping, Sequence
from math import ceil, log

GROWTH = 1.1
_LOG = log(GROWTH)
MILLISECOND = 0.001
"""Durations in seconds are counted from one millisecond on."""
LAST_DURATION = 159
"""An hour. Longer durations are counted as an hour."""
LAST_COST = 240
"""About 8,600 USD, in micro-USD. Higher costs are counted as that."""

Histogram = Mapping[int, int]
"""How many values each slot has."""


def duration_slot(seconds: float) -> int:
    """The slot of a duration. Up to a millisecond it is 0."""
    return _slot(seconds / MILLISECOND, LAST_DURATION)


def cost_slot(micro_usd: int) -> int:
    """The slot of a cost. Up to one micro-USD it is 0."""
    return _slot(micro_usd, LAST_COST)


def seconds_of(slot: int) -> float:
    """The duration that stands for a slot."""
    return _middle(slot) * MILLISECOND


def micro_usd_of(slot: int) -> int:
    """The cost that stands for a slot."""
    return round(_middle(slot))


def percentile_slots(histogram: Histogram, fractions: Sequence[float]) -> Sequence[int | None]:
    """The slot of each percentile, given as an ascending sequence of fractions; None for each if the histogram is empty."""
    total = sum(histogram.values())
    if not total:
        return [None] * len(fractions)
    ranks = [max(1, ceil(fraction * total)) for fraction in fractions]
    found: list[int | None] = []
    seen = 0
    for slot in sorted(histogram):
        seen += histogram[slot]
        while len(found) < len(ranks) and ranks[len(found)] <= seen:
            found.append(slot)
    return found


def _slot(value: float, last: int) -> int:
    return min(ceil(log(value) / _LOG - 1e-9), last) if value > 1 else 0


def _middle(slot: int) -> float:
    return float(GROWTH ** (slot - 0.5)) if slot else 1.0
