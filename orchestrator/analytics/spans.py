"""Which cells a stretch of time is read from: weeks and days where they are whole, hours and quarters of an hour at its ends."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from orchestrator.analytics.cells import ceiling, floor
from orchestrator.analytics.model import Compacted, Span, Width

_DAYS = (Width.WEEK, Width.DAY)
_ALL = (*_DAYS, Width.HOUR, Width.QUARTER)


def spans(begins: datetime, ends: datetime, compacted: Compacted, *, all_fine: bool) -> Iterator[Span]:
    """Splits a stretch that begins and ends at a quarter of an hour, in UTC.

    Unless `all_fine`, the time before `compacted.fine_from` is read from whole days: each counts in the stretch in which it begins.
    """
    if not all_fine and begins < compacted.fine_from:
        until = min(ends, compacted.fine_from)
        yield from _split(ceiling(begins, Width.DAY), ceiling(until, Width.DAY), compacted, _DAYS)
        begins = max(begins, compacted.fine_from)
    yield from _split(begins, ends, compacted, _ALL)


def merged(found: Iterable[Span]) -> list[Span]:
    """The same spans, where those that continue each other are one."""
    result: list[Span] = []
    for span in found:
        if result and result[-1].width is span.width and result[-1].ends == span.begins:
            result[-1] = result[-1]._replace(ends=span.ends)
        else:
            result.append(span)
    return result


def _split(begins: datetime, ends: datetime, compacted: Compacted, widths: Sequence[Width]) -> Iterator[Span]:
    """Reads the middle from cells of the first width, and the ends from the others, which are ever shorter."""
    width, *shorter = widths
    if not shorter:
        yield from _nonempty(width, begins, ends)
        return
    first, last = ceiling(begins, width), floor(min(ends, compacted.until(width)), width)
    if first < last:
        yield from _split(begins, first, compacted, shorter)
        yield Span(width, first, last)
        yield from _split(last, ends, compacted, shorter)
    else:
        yield from _split(begins, ends, compacted, shorter)


def _nonempty(width: Width, begins: datetime, ends: datetime) -> Iterator[Span]:
    if begins < ends:
        yield Span(width, begins, ends)
