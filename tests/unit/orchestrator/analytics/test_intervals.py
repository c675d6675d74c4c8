"""The intervals of a time series follow the clocks of their time zone."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import available_timezones

import pytest

from mesh.errors import ValidationFailed
from orchestrator.analytics.intervals import MOST_POINTS, edges, zone_of
from orchestrator.analytics.model import Interval

QUARTER = timedelta(minutes=15)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def hours(begins: str, ends: str, interval: Interval, zone: str) -> list[float]:
    """The lengths of the intervals in hours."""
    found = edges(utc(begins), utc(ends), interval, zone_of(zone))
    assert (found[0], found[-1]) == (utc(begins), utc(ends))
    return [(after - before) / timedelta(hours=1) for before, after in pairwise(found)]


@pytest.mark.parametrize(
    ("zone", "begins", "ends", "lengths"),
    [
        ("Europe/Berlin", "2026-10-23T22:00", "2026-10-26T23:00", [24, 25, 24]),
        ("Europe/Berlin", "2026-03-27T23:00", "2026-03-30T22:00", [24, 23, 24]),
        ("America/New_York", "2026-11-01T04:00", "2026-11-02T05:00", [25]),
        ("Australia/Lord_Howe", "2026-04-04T13:00", "2026-04-05T13:30", [24.5]),  # the clocks move by half an hour
        ("Asia/Kathmandu", "2026-05-01T18:15", "2026-05-03T18:15", [24, 24]),
        ("Asia/Beirut", "2026-03-27T22:00", "2026-03-29T21:00", [24, 23]),  # midnight of the 29th is skipped
        ("Pacific/Kiritimati", "2026-01-01T10:00", "2026-01-02T10:00", [24]),
        ("", "2026-01-01T06:00", "2026-01-02T12:00", [18, 12]),  # cut at both ends
    ],
)
def test_days_begin_at_local_midnight(zone: str, begins: str, ends: str, lengths: list[float]) -> None:
    assert hours(begins, ends, Interval.DAY, zone) == lengths


def test_hours_weeks_and_months_follow_the_zone() -> None:
    assert hours("2026-10-25T00:00", "2026-10-25T03:00", Interval.HOUR, "Europe/Berlin") == [1, 1, 1]
    assert hours("2026-05-01T00:00", "2026-05-01T02:00", Interval.HOUR, "Asia/Kolkata") == [0.5, 1, 0.5]
    assert hours("2026-05-01T00:00", "2026-05-01T01:00", Interval.QUARTER_HOUR, "Asia/Kathmandu") == [0.25] * 4
    assert hours("2026-10-18T22:00", "2026-11-01T23:00", Interval.WEEK, "Europe/Berlin") == [7 * 24 + 1, 7 * 24]
    assert hours("2026-01-31T23:00", "2026-03-31T22:00", Interval.MONTH, "Europe/Berlin") == [28 * 24, 31 * 24 - 1]
    assert hours("2027-12-15T00:00", "2028-03-01T00:00", Interval.MONTH, "") == [17 * 24, 31 * 24, 29 * 24]


@pytest.mark.slow
@pytest.mark.parametrize("interval", Interval)
def test_every_zone_has_intervals_at_quarters_of_an_hour(interval: Interval) -> None:
    """So all of them can be summed from cells of a quarter of an hour."""
    for name in sorted(available_timezones()):
        found = edges(utc("2026-03-20T00:00"), utc("2026-04-08T00:00"), interval, zone_of(name))
        assert all(moment.timestamp() % 900 == 0 for moment in found), name
        assert all(before < after for before, after in pairwise(found)), name


@pytest.mark.parametrize("name", ["Mars/Olympus", "Europe/berlin/x", "../../etc/passwd", "/etc/passwd", "CEST"])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValidationFailed, match="IANA") as refused:
        zone_of(name)
    assert [one.field for one in refused.value.violations] == ["time_zone"]


def test_too_many_points_are_refused() -> None:
    begins = utc("2026-01-01T00:00")
    assert len(edges(begins, begins + MOST_POINTS * QUARTER, Interval.QUARTER_HOUR, zone_of(""))) == MOST_POINTS + 1
    with pytest.raises(ValidationFailed, match="2,000 points"):
        edges(begins, begins + (MOST_POINTS + 1) * QUARTER, Interval.QUARTER_HOUR, zone_of(""))
