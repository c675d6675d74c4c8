"""Percentiles from logarithmic slots: within 5 % of the true value, also after merging."""

import random
from collections import Counter
from collections.abc import Callable
from math import ceil

import pytest

from orchestrator.analytics.histogram import (
    LAST_COST,
    LAST_DURATION,
    cost_slot,
    duration_slot,
    micro_usd_of,
    percentile_slots,
    seconds_of,
)

FRACTIONS = (0.5, 0.9, 0.95, 0.99)
DISTRIBUTIONS: dict[str, Callable[[random.Random], float]] = {
    "log-normal": lambda chance: min(chance.lognormvariate(0, 1.5), 3600),
    "uniform": lambda chance: chance.uniform(0.002, 600),
    "constant": lambda chance: 1.234,
    "two peaks": lambda chance: chance.choice([0.05, 90.0]) * chance.uniform(0.9, 1.1),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_percentiles_of_durations_are_within_5_percent(name: str) -> None:
    chance = random.Random(name)
    values = sorted(DISTRIBUTIONS[name](chance) for _ in range(5_000))
    slots = percentile_slots(Counter(map(duration_slot, values)), FRACTIONS)
    for fraction, slot in zip(FRACTIONS, slots, strict=True):
        assert slot is not None
        assert seconds_of(slot) == pytest.approx(values[ceil(fraction * len(values)) - 1], rel=0.05)


def test_percentiles_of_costs_are_within_5_percent() -> None:
    chance = random.Random(7)
    values = sorted(round(chance.lognormvariate(8, 2)) + 10 for _ in range(5_000))
    for fraction, slot in zip(FRACTIONS, percentile_slots(Counter(map(cost_slot, values)), FRACTIONS), strict=True):
        assert slot is not None
        assert micro_usd_of(slot) == pytest.approx(values[ceil(fraction * len(values)) - 1], rel=0.05, abs=1)


def test_histograms_merge_by_addition() -> None:
    chance = random.Random(3)
    parts = [Counter(duration_slot(chance.expovariate(1)) for _ in range(500)) for _ in range(4)]
    merged: Counter[int] = Counter()
    for part in parts:
        merged += part
    whole = Counter([slot for part in parts for slot in part.elements()])
    assert percentile_slots(merged, FRACTIONS) == percentile_slots(whole, FRACTIONS)


@pytest.mark.parametrize(("seconds", "slot"), [(-1.0, 0), (0.0, 0), (0.001, 0), (0.0010001, 1), (3600.0, 159), (1e9, LAST_DURATION)])
def test_short_and_long_durations_are_counted_at_the_ends(seconds: float, slot: int) -> None:
    assert duration_slot(seconds) == slot


@pytest.mark.parametrize(("micro_usd", "slot"), [(0, 0), (1, 0), (2, 8), (10**12, LAST_COST)])
def test_costs_are_counted_from_one_micro_usd(micro_usd: int, slot: int) -> None:
    assert cost_slot(micro_usd) == slot


def test_an_empty_histogram_has_no_percentiles() -> None:
    assert percentile_slots({}, FRACTIONS) == [None] * 4
    assert percentile_slots({5: 1}, FRACTIONS) == [5] * 4
