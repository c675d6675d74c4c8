"""Questions to analytics, answered from the cells, compared with the executions themselves."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.errors import ValidationFailed
from mesh.security.caller import Caller, Role
from orchestrator.adapters.analytics.measured import MeasuredAgents
from orchestrator.adapters.analytics.rollup import UsageRollup
from orchestrator.adapters.analytics.store import PostgresUsageStore
from orchestrator.adapters.analytics.typical import PostgresTypicalFigures
from orchestrator.adapters.retention.retention import Retention, RetentionUpkeep
from orchestrator.analytics.convert import percentiles
from orchestrator.analytics.model import AnswerOf, Asked, Figures, Group, Interval, Order
from orchestrator.analytics.service import AnalyticsService
from orchestrator.identity.errors import UserNotFound
from orchestrator.registry.model import Measured
from tests.adapters.orchestrator.analytics.counting import AGENTS, executions, record
from tests.adapters.orchestrator.looking import Connection

BEGINS = datetime(2026, 10, 24, 9, 30, tzinfo=UTC)
"""The night of the 25th has an hour more in Berlin."""
NOW = BEGINS + timedelta(days=4)
MADE = executions(1500, BEGINS, timedelta(days=3, hours=20))
ASKED = Asked(BEGINS, NOW)
ADMIN, ANN = Caller(9, "root", Role.ADMIN), Caller(1, "ann")
KEY_NAMES = {str(UUID(int=1)): "build", str(UUID(int=2)): ""}


class Clock:
    """Stands still."""

    def now(self) -> datetime:
        return NOW

    def time(self) -> float:
        return NOW.timestamp()

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
async def service(books_url: str, db: Connection, engine: AsyncEngine) -> AsyncIterator[AnalyticsService]:
    await db.execute("DELETE FROM api_keys")
    await db.execute(
        """
        INSERT INTO users (id, username, password_hash) VALUES (1, 'ann', 'none') ON CONFLICT (id) DO UPDATE SET username = 'ann';
        SELECT setval(pg_get_serial_sequence('users', 'id'), (SELECT max(id) FROM users))
        """
    )
    await db.execute(
        "INSERT INTO api_keys (api_key_id, user_id, key_hash, prefix, name, scopes) VALUES ($1, 1, 'x', 'amk_', 'build', '{read}')",
        UUID(int=1),
    )
    await record(db, MADE)
    rollup = UsageRollup(books_url, lambda agent_id: "legal" if agent_id == AGENTS[0] else "marketing")
    while await rollup.count():
        pass
    await rollup._connection.close()
    yield AnalyticsService(PostgresUsageStore(engine, 92, Clock()), 92, Clock())
    await db.execute("DELETE FROM api_keys")


def expected(**wanted: Any) -> Figures:
    """The figures of the executions that have these values."""
    begins, ends = wanted.pop("begins", BEGINS), wanted.pop("ends", NOW)
    chosen = [
        one for one in MADE if begins <= one["finished_at"] < ends and all((one[name] or "") == value for name, value in wanted.items())
    ]
    states = Counter(one["status"] for one in chosen)
    return Figures(
        *(len(chosen), states["completed"], states["failed"], states["cancelled"], states["outcome_unknown"]),
        *(sum(one["input_tokens"] for one in chosen), sum(one["output_tokens"] for one in chosen), len(chosen), 2 * len(chosen)),
        sum(one["cost_micro_usd"] for one in chosen),
        cast(float, pytest.approx(sum(one["seconds"] for one in chosen if one["status"] == "completed"))),
    )


def by_subject(answer: AnswerOf) -> dict[str, Figures]:
    return {one.subject: one.figures for one in answer.subjects}


@pytest.mark.parametrize(("caller", "wanted"), [(ADMIN, {}), (ANN, {"user_id": 1})])
async def test_a_summary_has_the_figures_errors_and_percentiles(service: AnalyticsService, caller: Caller, wanted: dict[str, Any]) -> None:
    for agent_id in ("", AGENTS[1]):
        filters = wanted | ({"agent_id": agent_id} if agent_id else {})
        summary = await service.summary(caller, ASKED, agent_id)
        assert summary.now.figures == expected(**filters)
        assert summary.before.figures == Figures()
        chosen = [one for one in MADE if all(one[name] == value for name, value in filters.items()) and one["status"] != "completed"]
        reasons = Counter((one["failure"] or {}).get("reason", one["status"].upper()) for one in chosen)
        assert summary.reasons == sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        done = [one for one in MADE if all(one[name] == value for name, value in filters.items()) and one["status"] == "completed"]
        seconds = sorted(one["seconds"] for one in done)
        shown = percentiles(summary.now.durations)
        for fraction, value in ((0.5, shown.p50), (0.9, shown.p90), (0.95, shown.p95), (0.99, shown.p99)):
            assert value == pytest.approx(seconds[ceil(fraction * len(seconds)) - 1], rel=0.05)


async def test_every_agent_is_measured_as_its_executions_were(service: AnalyticsService, engine: AsyncEngine) -> None:
    measured = MeasuredAgents(engine, Clock())
    assert measured.of(AGENTS[0]) is None
    await measured.read()
    typical = await PostgresTypicalFigures(engine, Clock()).of(AGENTS)
    for agent_id in AGENTS:
        wanted = expected(agent_id=agent_id)
        assert measured.of(agent_id) == Measured(
            wanted.calls,
            cast(float, pytest.approx(wanted.completed / (wanted.calls - wanted.cancelled))),
            typical[agent_id].seconds_p50,
            typical[agent_id].micro_usd_p50,
        )
    assert measured.of("nobody") is None


async def test_the_previous_period_is_as_long_and_ends_where_the_range_begins(service: AnalyticsService) -> None:
    begins = BEGINS + timedelta(hours=50)
    summary = await service.summary(ADMIN, Asked(begins, begins + timedelta(hours=20)), "")
    assert summary.now.figures == expected(begins=begins, ends=begins + timedelta(hours=20))
    assert summary.before.figures == expected(begins=begins - timedelta(hours=20), ends=begins)


@pytest.mark.parametrize("user_id", [2, 3, 99])
async def test_users_see_only_their_own_figures(service: AnalyticsService, user_id: int) -> None:
    foreign = replace(ASKED, user_id=user_id)
    questions = [
        service.summary(ANN, foreign, ""),
        service.agents(ANN, foreign, Order.CALLS, 50, 0),
        service.timeseries(ANN, foreign, "", Interval.DAY, ""),
        service.costs(ANN, foreign, Group.AGENT, "", 50, 0),
    ]
    for question in questions:
        with pytest.raises(UserNotFound):
            await question
    assert (await service.summary(ADMIN, foreign, "")).now.figures == expected(user_id=user_id)
    assert (await service.summary(ANN, replace(ASKED, user_id=1), "")).now.figures == expected(user_id=1)


@pytest.mark.parametrize("group", [Group.AGENT, Group.MODEL, Group.KEY])
async def test_costs_by_a_column(service: AnalyticsService, group: Group) -> None:
    column = {Group.AGENT: "agent_id", Group.MODEL: "model", Group.KEY: "api_key_id"}[group]
    values = {one[column] or "" for one in MADE}
    answer = await service.costs(ADMIN, ASKED, group, "", 200, 0)
    assert by_subject(answer) == {value: expected(**{column: value}) for value in values}
    costs = [one.figures.cost_micro_usd for one in answer.subjects]
    assert costs == sorted(costs, reverse=True)
    assert by_subject(await service.costs(ANN, ASKED, group, "", 200, 0)) == {
        value: expected(**{column: value, "user_id": 1}) for value in values
    }
    names = {one.subject: one.name for one in answer.subjects}
    assert names == {value: {Group.AGENT: "Agent", Group.MODEL: "", Group.KEY: KEY_NAMES.get(value, "")}[group] for value in values}


async def test_costs_by_category_and_user(service: AnalyticsService) -> None:
    categories = by_subject(await service.costs(ADMIN, ASKED, Group.CATEGORY, "", 50, 0))
    assert categories["legal"] == expected(agent_id=AGENTS[0])
    assert sum(one.calls for one in categories.values()) == len(MADE)
    users = await service.costs(ADMIN, ASKED, Group.USER, "", 50, 0)
    assert by_subject(users) == {str(user_id): expected(user_id=user_id) for user_id in (1, 2, 3)}
    assert {one.subject: one.name for one in users.subjects}["1"] == "ann"
    assert by_subject(await service.costs(ANN, ASKED, Group.USER, "", 50, 0)) == {"1": expected(user_id=1)}


@pytest.mark.parametrize("zone", ["", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"])
async def test_days_are_those_of_the_time_zone(service: AnalyticsService, zone: str) -> None:
    local = ZoneInfo(zone or "UTC")
    wanted: dict[str, int] = defaultdict(int)
    for one in MADE:
        wanted[f"{one['finished_at'].astimezone(local):%Y-%m-%d}"] += one["cost_micro_usd"]
    answer = await service.costs(ADMIN, ASKED, Group.DAY, zone, 50, 0)
    assert {one.subject: one.figures.cost_micro_usd for one in answer.subjects if one.figures.calls} == wanted
    series = await service.timeseries(ADMIN, ASKED, "", Interval.DAY, zone)
    assert [point.measured.figures for point in series.points] == [one.figures for one in answer.subjects]
    paged = [await service.costs(ADMIN, ASKED, Group.DAY, zone, 2, offset) for offset in (0, 2, 4)]
    assert [one.subject for page in paged for one in page.subjects] == [one.subject for one in answer.subjects]
    assert [page.more for page in paged] == [True, True, False]


@pytest.mark.parametrize("interval", [Interval.QUARTER_HOUR, Interval.HOUR, Interval.WEEK, Interval.MONTH])
async def test_the_points_of_a_series_have_the_figures_of_their_intervals(service: AnalyticsService, interval: Interval) -> None:
    asked = Asked(BEGINS + timedelta(hours=7), BEGINS + timedelta(hours=61)) if interval is Interval.QUARTER_HOUR else ASKED
    for agent_id in ("", AGENTS[2]):
        wanted = {"agent_id": agent_id} if agent_id else {}
        series = await service.timeseries(ADMIN, asked, agent_id, interval, "Asia/Kathmandu")
        for point in series.points:
            assert point.measured.figures == expected(begins=point.begins, ends=point.ends, **wanted), point.begins
            assert sum(point.measured.durations.values()) == point.measured.figures.completed


@pytest.mark.parametrize("order", Order)
async def test_agents_are_ordered_and_their_pages_meet(service: AnalyticsService, order: Order) -> None:
    column = {Order.CALLS: "calls", Order.COST: "cost_micro_usd", Order.FAILURES: "failed", Order.MEAN_SECONDS: "mean_seconds"}[order]
    pages = [await service.agents(ADMIN, ASKED, order, 2, offset) for offset in (0, 2, 4)]
    found = [one for page in pages for one in page.subjects]
    assert {one.subject: one.figures for one in found} == {agent_id: expected(agent_id=agent_id) for agent_id in AGENTS}
    values = [getattr(one.figures, column) for one in found]
    assert values == sorted(values, reverse=True)
    assert [page.more for page in pages] == [True, True, False]
    assert {one.category for one in found if one.subject == AGENTS[0]} == {"legal"}


async def test_figures_outlive_the_executions_and_the_hours(service: AnalyticsService, db: Connection, engine: AsyncEngine) -> None:
    """Hours of single agents are deleted before the 26th; a day then counts where it begins."""
    fine_days = (NOW - datetime(2026, 10, 25, 12, tzinfo=UTC)) / timedelta(days=1)
    kept = (datetime.now(UTC) - datetime(2026, 10, 26, tzinfo=UTC)) / timedelta(days=1)
    upkeep = RetentionUpkeep(engine, Retention(executions=0.5, runs=0, run_changes=0, audit=0, usage=kept))
    deleted = await upkeep.delete_old()
    assert deleted["usage_cells"] > 0
    assert deleted["executions"] == len(MADE)
    later = AnalyticsService(PostgresUsageStore(engine, fine_days, Clock()), fine_days, Clock())
    days = Asked(datetime(2026, 10, 24, tzinfo=UTC), NOW)
    assert by_subject(await later.costs(ADMIN, days, Group.AGENT, "", 50, 0)) == {one: expected(agent_id=one) for one in AGENTS}
    assert (await later.summary(ADMIN, ASKED, "")).now.figures == expected()  # totals keep their hours
    with pytest.raises(ValidationFailed, match="hours of single agents"):
        await later.timeseries(ADMIN, days, AGENTS[0], Interval.HOUR, "")
    series = await later.timeseries(ADMIN, days, AGENTS[0], Interval.DAY, "")
    assert sum(point.measured.figures.calls for point in series.points) == expected(agent_id=AGENTS[0]).calls


async def test_without_executions_every_figure_is_0(engine: AsyncEngine, db: Connection) -> None:
    service = AnalyticsService(PostgresUsageStore(engine, 92, Clock()), 92, Clock())
    summary = await service.summary(ADMIN, Asked(), "")
    assert (summary.now.figures, summary.reasons, summary.counted_until) == (Figures(), [], None)
    assert (summary.range.ends, summary.range.begins) == (NOW, NOW - timedelta(days=30))
    for group in Group:
        assert all(one.figures.calls == 0 for one in (await service.costs(ADMIN, Asked(), group, "", 50, 0)).subjects)
    assert len((await service.timeseries(ANN, Asked(), "", Interval.DAY, "")).points) == 31


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (Asked(NOW, NOW), "is not before"),
        (Asked(NOW, BEGINS), "is not before"),
        (Asked(NOW - timedelta(days=366, minutes=1), NOW), "at most 366"),
    ],
)
async def test_a_bad_range_is_refused(engine: AsyncEngine, asked: Asked, text: str) -> None:
    service = AnalyticsService(PostgresUsageStore(engine, 92, Clock()), 92, Clock())
    for question in (service.summary(ANN, asked, ""), service.costs(ANN, asked, Group.DAY, "", 50, 0)):
        with pytest.raises(ValidationFailed, match=text) as refused:
            await question
        assert [one.field for one in refused.value.violations] == ["start_time"]


async def test_a_range_is_rounded_to_quarters_of_an_hour(engine: AsyncEngine) -> None:
    service = AnalyticsService(PostgresUsageStore(engine, 92, Clock()), 92, Clock())
    asked = Asked(BEGINS + timedelta(minutes=14, seconds=59), BEGINS + timedelta(minutes=16))
    (summary,) = await asyncio.gather(service.summary(ANN, asked, ""))
    assert (summary.range.begins, summary.range.ends) == (BEGINS, BEGINS + timedelta(minutes=30))
