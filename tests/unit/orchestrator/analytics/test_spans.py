"""A stretch of time is read from the longest cells that fit, and every moment of it exactly once."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analytics.model import Compacted, Span, Width
from orchestrator.analytics.spans import merged, spans

QUARTER = timedelta(minutes=15)
DAY_0 = datetime(2026, 11, 1, tzinfo=UTC)
quarters = st.integers(0, 10 * 96).map(lambda number: DAY_0 + number * QUARTER)
days = st.integers(0, 12).map(lambda number: DAY_0 + timedelta(days=number))


def utc(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def test_whole_days_are_read_as_days_and_the_ends_as_hours_and_quarters() -> None:
    compacted = Compacted(hours_until=utc(9, 5), days_until=utc(9), fine_from=DAY_0)
    assert list(spans(utc(2, 21, 45), utc(9, 6, 15), compacted, all_fine=False)) == [
        Span(Width.QUARTER, utc(2, 21, 45), utc(2, 22)),
        Span(Width.HOUR, utc(2, 22), utc(3)),
        Span(Width.DAY, utc(3), utc(9)),
        Span(Width.HOUR, utc(9), utc(9, 5)),
        Span(Width.QUARTER, utc(9, 5), utc(9, 6, 15)),
    ]


def test_time_before_the_short_cells_is_read_from_the_days_that_begin_in_it() -> None:
    compacted = Compacted(hours_until=utc(9), days_until=utc(9), fine_from=utc(5))
    read = list(spans(utc(2, 12), utc(6, 6), compacted, all_fine=False))
    assert read == [Span(Width.DAY, utc(3), utc(5)), Span(Width.DAY, utc(5), utc(6)), Span(Width.HOUR, utc(6), utc(6, 6))]
    assert list(spans(utc(2, 12), utc(2, 13), compacted, all_fine=False)) == []
    assert list(spans(utc(2, 23), utc(3, 1), compacted, all_fine=False)) == [Span(Width.DAY, utc(3), utc(4))]
    assert list(spans(utc(2, 12), utc(2, 13), compacted, all_fine=True)) == [Span(Width.HOUR, utc(2, 12), utc(2, 13))]


@given(quarters, quarters, days, st.integers(0, 30))
def test_every_quarter_is_read_once_from_cells_that_exist(one: datetime, two: datetime, until: datetime, more: int) -> None:
    begins, ends = sorted((one, two))
    compacted = Compacted(hours_until=until + timedelta(hours=more), days_until=until, fine_from=DAY_0)
    moment = begins
    for span in merged(spans(begins, ends, compacted, all_fine=False)):
        assert span.begins == moment
        assert span.begins.timestamp() % (span.width * 60) == span.ends.timestamp() % (span.width * 60) == 0
        exists_until = {Width.DAY: compacted.days_until, Width.HOUR: compacted.hours_until, Width.QUARTER: ends}[span.width]
        assert span.ends <= exists_until
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
