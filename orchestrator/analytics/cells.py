"""Sums executions into cells."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from orchestrator.analytics.histogram import cost_slot, duration_slot
from orchestrator.analytics.model import EVERYBODY, Cell, CellKey, Dimension, Ended, Width
from orchestrator.executions.model import State

_COUNTED_AS = {State.COMPLETED: "completed", State.FAILED: "failed", State.CANCELLED: "cancelled", State.OUTCOME_UNKNOWN: "unknown"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WITH_HISTOGRAMS = (Dimension.TOTAL, Dimension.AGENT)


def cells_of(executions: Iterable[Ended], summed_until: Mapping[Width, datetime | None]) -> dict[CellKey, Cell]:
    """The sums of these executions, in cells of a quarter of an hour.

    `summed_until` tells for the longer widths up to when cells exist. An execution that comes late is also counted in those.
    """
    cells: dict[CellKey, Cell] = {}
    for ended in executions:
        for width in _widths(ended.finished_at, summed_until):
            bucket = floor(ended.finished_at, width)
            for dimension, owner, subject in _subjects(ended):
                key = CellKey(dimension, owner, subject, width, bucket)
                cell = cells.get(key)
                if cell is None:
                    cell = cells[key] = Cell()
                _add(cell, ended, histograms=dimension in WITH_HISTOGRAMS)
    return cells


def floor(moment: datetime, width: Width) -> datetime:
    """The beginning of the cell that contains a moment in UTC."""
    return _EPOCH + (moment - _EPOCH) // timedelta(minutes=width) * timedelta(minutes=width)


def ceiling(moment: datetime, width: Width) -> datetime:
    """The first beginning of a cell at or after a moment in UTC."""
    begins = floor(moment, width)
    return begins if begins == moment else begins + timedelta(minutes=width)


def _widths(moment: datetime, summed_until: Mapping[Width, datetime | None]) -> Iterator[Width]:
    yield Width.QUARTER
    yield from (width for width, until in summed_until.items() if until is not None and moment < until)


def _subjects(ended: Ended) -> Iterator[tuple[Dimension, int, str]]:
    yield Dimension.USER, EVERYBODY, str(ended.user_id)
    for owner in (EVERYBODY, ended.user_id):
        yield Dimension.TOTAL, owner, ""
        yield Dimension.AGENT, owner, ended.agent_id
        yield Dimension.MODEL, owner, ended.model
        if ended.api_key_id:
            yield Dimension.KEY, owner, ended.api_key_id
        if ended.reason:
            yield Dimension.REASON, owner, ended.reason
            yield Dimension.AGENT_REASON, owner, f"{ended.agent_id} {ended.reason}"


def _add(cell: Cell, ended: Ended, *, histograms: bool) -> None:
    counted_as = _COUNTED_AS[ended.state]
    cell.calls += 1
    setattr(cell, counted_as, getattr(cell, counted_as) + 1)
    cell.input_tokens += ended.tokens[0]
    cell.output_tokens += ended.tokens[1]
    cell.cache_read_tokens += ended.tokens[2]
    cell.cache_write_tokens += ended.tokens[3]
    cell.cost_micro_usd += ended.cost_micro_usd
    if ended.state is State.COMPLETED:
        cell.seconds += ended.seconds
        if histograms:
            duration, cost = duration_slot(ended.seconds), cost_slot(ended.cost_micro_usd)
            cell.durations[duration] = cell.durations.get(duration, 0) + 1
            cell.costs[cost] = cell.costs.get(cost, 0) + 1
