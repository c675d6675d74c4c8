"""Answers questions about usage, within what the caller may see."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ValidationFailed
from mesh.security.caller import Caller
from orchestrator.analytics.cells import ceiling, floor
from orchestrator.analytics.intervals import edges, zone_of
from orchestrator.analytics.model import (
    EVERYBODY,
    AnswerOf,
    Asked,
    Group,
    Interval,
    Order,
    Point,
    Range,
    Subject,
    SubjectQuery,
    Summary,
    Width,
)
from orchestrator.analytics.ports import UsageStore
from orchestrator.identity.errors import UserNotFound

LONGEST_RANGE = timedelta(days=366)
DEFAULT_RANGE = timedelta(days=30)
MOST_REASONS = 100
_SHORT = (Interval.QUARTER_HOUR, Interval.HOUR)


class AnalyticsService:
    """Users see the figures of their own executions, administrators those of all users or of one.

    Every method raises UserNotFound for a user whom the caller may not see, and ValidationFailed for a bad range.
    """

    def __init__(self, store: UsageStore, fine_days: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._fine_days = fine_days
        self._clock = clock

    async def summary(self, caller: Caller, asked: Asked, agent_id: str) -> Summary:
        """Returns the figures of a range and of the range before it."""
        owner, within = _owner(caller, asked), self._range(asked)
        before, now = await self._store.points(owner, agent_id, [within.before.begins, within.begins, within.ends])
        reasons = await self._store.reasons(owner, agent_id, within, MOST_REASONS)
        return Summary(within, await self._store.counted_until(), now, before, reasons)

    async def agents(self, caller: Caller, asked: Asked, order: Order, limit: int, offset: int) -> AnswerOf:
        """Returns a page of agents with their figures."""
        owner, within = _owner(caller, asked), self._range(asked)
        page = await self._store.subjects(SubjectQuery(Group.AGENT, owner, within, order, limit, offset))
        return AnswerOf(within, await self._store.counted_until(), subjects=page.subjects, more=page.more)

    async def timeseries(self, caller: Caller, asked: Asked, agent_id: str, interval: Interval, time_zone: str) -> AnswerOf:
        """Returns the points of a time series. Raises ValidationFailed also for an unknown time zone and too many points."""
        owner, within, zone = _owner(caller, asked), self._range(asked), zone_of(time_zone)
        if agent_id and interval in _SHORT and self._fine_days and within.begins < self._clock.now() - timedelta(days=self._fine_days):
            description = f"the hours of single agents are kept for {self._fine_days:g} days; choose days, or a later start_time"
            raise ValidationFailed.of("interval", description)
        points = await self._points(owner, agent_id, edges(within.begins, within.ends, interval, zone))
        return AnswerOf(within, await self._store.counted_until(), points=points)

    async def costs(self, caller: Caller, asked: Asked, group: Group, time_zone: str, limit: int, offset: int) -> AnswerOf:
        """Returns a page of groups, the most expensive first; days in their order."""
        owner, within, zone = _owner(caller, asked), self._range(asked), zone_of(time_zone)
        if group is Group.DAY:
            days = edges(within.begins, within.ends, Interval.DAY, zone)
            points = await self._points(owner, "", days[offset : offset + limit + 1])
            subjects = [Subject(f"{point.begins.astimezone(zone):%Y-%m-%d}", "", "", point.measured.figures) for point in points]
            return AnswerOf(within, await self._store.counted_until(), subjects=subjects, more=offset + limit + 1 < len(days))
        page = await self._store.subjects(SubjectQuery(group, owner, within, Order.COST, limit, offset))
        return AnswerOf(within, await self._store.counted_until(), subjects=page.subjects, more=page.more)

    async def _points(self, owner: int, agent_id: str, at: Sequence[datetime]) -> Sequence[Point]:
        if len(at) < 2:
            return []
        measured = await self._store.points(owner, agent_id, at)
        return [Point(begins, ends, one) for (begins, ends), one in zip(pairwise(at), measured, strict=True)]

    def _range(self, asked: Asked) -> Range:
        ends = ceiling(asked.ends or self._clock.now(), Width.QUARTER)
        begins = floor(asked.begins or ends - DEFAULT_RANGE, Width.QUARTER)
        if begins >= ends:
            raise ValidationFailed.of(
                "start_time", f"{begins:%Y-%m-%dT%H:%MZ} is not before end_time {ends:%Y-%m-%dT%H:%MZ}; choose an earlier one"
            )
        if ends - begins > LONGEST_RANGE:
            days = (ends - begins) / timedelta(days=1)
            raise ValidationFailed.of("start_time", f"the range has {days:,.1f} days; at most {LONGEST_RANGE.days} are allowed")
        return Range(begins, ends)


def _owner(caller: Caller, asked: Asked) -> int:
    if caller.sees is not None:
        if asked.user_id not in (0, caller.user_id):
            raise UserNotFound.of(asked.user_id)
        return caller.user_id
    return asked.user_id or EVERYBODY
