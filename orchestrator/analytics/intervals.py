"""The intervals of a time series, in any time zone."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mesh.errors import ValidationFailed
from orchestrator.analytics.model import Interval

MOST_POINTS = 2_000
_FIXED = {Interval.QUARTER_HOUR: timedelta(minutes=15), Interval.HOUR: timedelta(hours=1)}


def zone_of(name: str) -> ZoneInfo:
    """The time zone; an empty name means UTC. Raises ValidationFailed for an unknown name."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        description = f"'{name}' is not a time zone; use an IANA name such as Europe/Berlin"
        raise ValidationFailed.of("time_zone", description) from None


def edges(begins: datetime, ends: datetime, interval: Interval, zone: ZoneInfo) -> list[datetime]:
    """The beginnings of the intervals, and the end of the last one. The first and the last interval are cut to the stretch.

    Raises ValidationFailed for more than MOST_POINTS intervals.
    """
    found = [begins]
    moment = _next(begins, interval, zone)
    while moment < ends:
        found.append(moment)
        if len(found) > MOST_POINTS:
            description = f"gives more than {MOST_POINTS:,} points in this range; choose a longer interval or a shorter range"
            raise ValidationFailed.of("interval", description)
        moment = _next(moment, interval, zone)
    return [*found, ends]


def _next(moment: datetime, interval: Interval, zone: ZoneInfo) -> datetime:
    """The first beginning of an interval after a moment."""
    step = _FIXED.get(interval)
    local = moment.astimezone(zone)
    if step is not None:
        offset = local.utcoffset() or timedelta()
        since = (moment - _EPOCH + offset) % step  # an hour begins on the hour of the zone, which may be at :30 or :45 in UTC
        return moment + (step - since)
    day = _following(local.date(), interval)
    while (begins := _midnight(day, zone)) <= moment:  # only where a zone skipped a whole day
        day = _following(day, interval)
    return begins


def _following(day: date, interval: Interval) -> date:
    if interval is Interval.MONTH:
        return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return day + timedelta(days=7 - day.weekday() if interval is Interval.WEEK else 1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """The beginning of a day, in UTC. Where midnight was skipped, the day begins when the clocks had been moved forward."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
