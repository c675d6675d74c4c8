"""Which cells a stretch of time is read from: weeks and days where they are whole, hours and quarters of an hour at its ends."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from orchestrator.analytics.cells import ceiling, floor
from orchestrator.analytics.model import Compacted, Span, Width


def spans(begins: datetime, ends: datetime, compacted: Compacted, *, all_fine: bool) -> Iterator[Span]:
    """Splits a stretch that begins and ends at a quarter of an hour, in UTC.

    Unless `all_fine`, the time before `compacted.fine_from` is read from whole days: each counts in the stretch in which it begins.
    """
    if not all_fine and begins < compacted.fine_from:
        until = min(ends, compacted.fine_from)
        yield from _days(ceiling(begins, Width.DAY), ceiling(until, Width.DAY), compacted)
        begins = max(begins, compacted.fine_from)
    yield from _split(begins, ends, compacted)


def merged(found: Iterable[Span]) -> list[Span]:
    """The same spans, where those that continue each other are one."""
    result: list[Span] = []
    for span in found:
        if result and result[-1].width is span.width and result[-1].ends == span.begins:
            result[-1] = result[-1]._replace(ends=span.ends)
        else:
            result.append(span)
    return result


def _split(begins: datetime, ends: datetime, compacted: Compacted) -> Iterator[Span]:
    first, last = ceiling(begins, Width.DAY), floor(min(ends, compacted.days_until), Width.DAY)
    if first < last:
        yield from _hours(begins, first, compacted)
        yield from _days(first, last, compacted)
        yield from _hours(last, ends, compacted)
    else:
        yield from _hours(begins, ends, compacted)


def _days(begins: datetime, ends: datetime, compacted: Compacted) -> Iterator[Span]:
    first, last = ceiling(begins, Width.WEEK), floor(min(ends, compacted.weeks_until), Width.WEEK)
    if first < last:
        yield from _nonempty(Width.DAY, begins, first)
        yield from _nonempty(Width.WEEK, first, last)
        yield from _nonempty(Width.DAY, last, ends)
    else:
        yield from _nonempty(Width.DAY, begins, ends)


def _hours(begins: datetime, ends: datetime, compacted: Compacted) -> Iterator[Span]:
    first, last = ceiling(begins, Width.HOUR), floor(min(ends, compacted.hours_until), Width.HOUR)
    if first < last:
        yield from _nonempty(Width.QUARTER, begins, first)
        yield from _nonempty(Width.HOUR, first, last)
        yield from _nonempty(Width.QUARTER, last, ends)
    else:
        yield from _nonempty(Width.QUARTER, begins, ends)


def _nonempty(width: Width, begins: datetime, ends: datetime) -> Iterator[Span]:
    if begins < ends:
        yield Span(width, begins, ends)
