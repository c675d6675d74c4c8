"""A stretch of time is read from the longest cells that fit, and every moment of it exactly once."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analytics.cells import floor
from orchestrator.analytics.model import Compacted, Span, Width
from orchestrator.analytics.spans import merged, spans

QUARTER = timedelta(minutes=15)
DAY_0 = datetime(2026, 11, 1, tzinfo=UTC)
quarters = st.integers(0, 30 * 96).map(lambda number: DAY_0 + number * QUARTER)
days = st.integers(0, 32).map(lambda number: DAY_0 + timedelta(days=number))


def utc(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def test_whole_days_are_read_as_days_and_the_ends_as_hours_and_quarters() -> None:
    compacted = Compacted(hours_until=utc(9, 5), days_until=utc(9), weeks_until=utc(5), fine_from=DAY_0)
    assert list(spans(utc(2, 21, 45), utc(9, 6, 15), compacted, all_fine=False)) == [
        Span(Width.QUARTER, utc(2, 21, 45), utc(2, 22)),
        Span(Width.HOUR, utc(2, 22), utc(3)),
        Span(Width.DAY, utc(3), utc(9)),
        Span(Width.HOUR, utc(9), utc(9, 5)),
        Span(Width.QUARTER, utc(9, 5), utc(9, 6, 15)),
    ]


def test_time_before_the_short_cells_is_read_from_the_days_that_begin_in_it() -> None:
    compacted = Compacted(hours_until=utc(9), days_until=utc(9), weeks_until=DAY_0, fine_from=utc(5))
    read = list(spans(utc(2, 12), utc(6, 6), compacted, all_fine=False))
    assert read == [Span(Width.DAY, utc(3), utc(5)), Span(Width.DAY, utc(5), utc(6)), Span(Width.HOUR, utc(6), utc(6, 6))]
    assert list(spans(utc(2, 12), utc(2, 13), compacted, all_fine=False)) == []
    assert list(spans(utc(2, 23), utc(3, 1), compacted, all_fine=False)) == [Span(Width.DAY, utc(3), utc(4))]
    assert list(spans(utc(2, 12), utc(2, 13), compacted, all_fine=True)) == [Span(Width.HOUR, utc(2, 12), utc(2, 13))]


def test_whole_weeks_are_read_as_weeks() -> None:
    compacted = Compacted(hours_until=utc(27), days_until=utc(27), weeks_until=utc(26), fine_from=DAY_0)
    assert list(spans(utc(3, 23), utc(26), compacted, all_fine=False)) == [
        Span(Width.HOUR, utc(3, 23), utc(4)),
        Span(Width.DAY, utc(4), utc(5)),
        Span(Width.WEEK, utc(5), utc(26)),
    ]
    gone = Compacted(hours_until=utc(27), days_until=utc(27), weeks_until=utc(19), fine_from=utc(27))
    assert list(spans(utc(3, 23), utc(26), gone, all_fine=False)) == [
        Span(Width.DAY, utc(4), utc(5)),
        Span(Width.WEEK, utc(5), utc(19)),
        Span(Width.DAY, utc(19), utc(26)),
    ]


@given(quarters, quarters, days, st.integers(0, 30), st.integers(0, 2))
def test_every_quarter_is_read_once_from_cells_that_exist(one: datetime, two: datetime, until: datetime, more: int, late: int) -> None:
    begins, ends = sorted((one, two))
    weeks_until = floor(until, Width.WEEK) - late * timedelta(weeks=1)
    compacted = Compacted(until + timedelta(hours=more), until, weeks_until, fine_from=DAY_0)
    moment = begins
    for span in merged(spans(begins, ends, compacted, all_fine=False)):
        assert span.begins == moment
        assert span.begins.timestamp() % (span.width * 60) == span.ends.timestamp() % (span.width * 60) == 0
        exists_until = {Width.WEEK: weeks_until, Width.DAY: until, Width.HOUR: compacted.hours_until, Width.QUARTER: ends}
        assert span.ends <= exists_until[span.width]
        moment = span.ends
    assert moment == ends


def test_spans_that_continue_each_other_become_one() -> None:
    found = [
        Span(Width.HOUR, utc(1), utc(2)),
        Span(Width.HOUR, utc(2), utc(3)),
        Span(Width.DAY, utc(3), utc(4)),
        Span(Width.DAY, utc(5), utc(6)),
    ]
    assert merged(found) == [Span(Width.HOUR, utc(1), utc(3)), *found[2:]]
