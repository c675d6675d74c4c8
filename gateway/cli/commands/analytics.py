"""`agentmesh analytics` and `agentmesh usage`: figures of calls, times and costs."""

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

import typer

from gateway.cli.application import Group, Limit, Output, examples, group, printer_of, session_of
from gateway.cli.errors import CliError
from gateway.cli.exits import Exit
from gateway.cli.rendering import Column, Format
from gateway.cli.words import moment, money, seconds, share
from mesh.clock import SYSTEM_CLOCK

app = group("analytics", "See calls, times, failures and costs.")
usage_app = typer.Typer(cls=Group)
Since = Annotated[
    str, typer.Option("--since", help="From then: 24h, 7d, 2026-11-01, or 2026-11-01T12:00Z. Default: the last 30 days.", metavar="WHEN")
]
Until = Annotated[str, typer.Option("--until", help="Until then, excluded. Default: now.", metavar="WHEN")]
User = Annotated[int, typer.Option("--user", min=0, help="Only this user; administrators see all users by default.")]
Zone = Annotated[str, typer.Option("--time-zone", help="Where days begin, such as Europe/Berlin. Default: UTC.")]


def _figure(name: str, row: Any) -> Any:
    return getattr(row.figures, name)


_FIGURES = [
    Column("calls", lambda row: row.figures.calls, right=True),
    Column("failed", lambda row: row.figures.failed, right=True, wide=True),
    Column("tokens", lambda row: _tokens(row.figures), right=True, wide=True),
    Column("mean", lambda row: seconds(row.figures.mean_seconds), right=True, wide=True),
    Column("cost", lambda row: money(row.figures.cost_micro_usd), right=True),
]
_CSV_FIGURES = [
    Column(name, partial(_figure, name))
    for name in (
        *("calls", "completed", "failed", "cancelled", "outcome_unknown", "input_tokens", "output_tokens"),
        *("cache_read_tokens", "cache_write_tokens", "cost_micro_usd", "mean_seconds"),
    )
]
"""In a file, every figure is written, and as a number."""
_INTERVALS = ("quarter-hour", "hour", "day", "week", "month")
_GROUPS = ("agent", "category", "user", "model", "key", "day")
_ORDERS = ("calls", "cost", "failures", "mean-seconds")


def _stub(session: Any) -> Any:
    from agentmesh.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub

    return session.stub(AnalyticsServiceStub)


@app.command(epilog=examples("agentmesh analytics summary", "agentmesh analytics summary --since 7d --agent AGENT"))
def summary(
    context: typer.Context,
    since: Since = "",
    until: Until = "",
    agent: Annotated[str, typer.Option("--agent", help="Only this agent.")] = "",
    user: User = 0,
    output: Output = Format.TABLE,
) -> None:
    """Show the figures of a period, and of the one before it."""
    _summary(context, since, until, agent, user, output)


@usage_app.command(epilog=examples("agentmesh usage", "agentmesh usage --since 24h"))
def usage(context: typer.Context, since: Since = "", until: Until = "", user: User = 0, output: Output = Format.TABLE) -> None:
    """Show what was used and what it cost."""
    _summary(context, since, until, "", user, output)


def _summary(context: typer.Context, since: str, until: str, agent: str, user: int, output: Format) -> None:
    from agentmesh.analytics.v1 import analytics_service_pb2 as pb

    printer, session = printer_of(context, output), session_of(context)
    request = in_period(pb.GetSummaryRequest(user_id=user, agent_id=agent), since, until)
    answer = session.ask(_stub(session).GetSummary, request)
    now, before = answer.figures, answer.previous
    pairs = [
        ("period", f"{moment(answer, 'start_time')} to {moment(answer, 'end_time')}"),
        ("calls", f"{now.calls:,} (before: {before.calls:,})"),
        ("completed", f"{now.completed:,}{share(now.completed, now.calls)}"),
        ("failed", f"{now.failed:,}{share(now.failed, now.calls)}"),
        ("cancelled", f"{now.cancelled:,}"),
        ("unknown", f"{now.outcome_unknown:,}" if now.outcome_unknown else ""),
        ("tokens", f"{_tokens(now):,}"),
        ("cost", f"{money(now.cost_micro_usd)} (before: {money(before.cost_micro_usd)})"),
        ("time", _times(answer.seconds) if now.calls else ""),
        ("failures", ", ".join(f"{one.reason} {one.calls:,}" for one in answer.errors)),
        ("counted", f"until {moment(answer, 'counted_until')}" if answer.HasField("counted_until") else ""),
    ]
    printer.fields(answer, pairs)


@app.command(epilog=examples("agentmesh analytics agents --order cost --limit 10", "agentmesh analytics agents --output csv > agents.csv"))
def agents(
    context: typer.Context,
    since: Since = "",
    until: Until = "",
    order: Annotated[str, typer.Option("--order", help=f"By {', '.join(_ORDERS)}.")] = "calls",
    user: User = 0,
    limit: Limit = 50,
    output: Output = Format.TABLE,
) -> None:
    """Compare the agents."""
    from agentmesh.analytics.v1 import analytics_service_pb2 as pb

    printer, session = printer_of(context, output, lists=True), session_of(context)
    number = _number("StatsOrder", "order", order, _ORDERS)
    request = in_period(pb.ListAgentStatsRequest(user_id=user, order_by=number), since, until)
    answer = session.pages(_stub(session).ListAgentStats, request, "agents", limit)
    columns = [Column("agent", lambda row: row.agent_id), Column("name", lambda row: row.name, grows=True), *_figures(output)]
    printer.items(answer, answer.agents, columns, "No calls in this period.")


@app.command(epilog=examples("agentmesh analytics costs --by day --time-zone Europe/Berlin", "agentmesh analytics costs --output csv"))
def costs(
    context: typer.Context,
    since: Since = "",
    until: Until = "",
    by: Annotated[str, typer.Option("--by", help=f"By {', '.join(_GROUPS)}.")] = "agent",
    time_zone: Zone = "",
    user: User = 0,
    limit: Limit = 50,
    output: Output = Format.TABLE,
) -> None:
    """Split the costs by agent, category, user, model, key or day."""
    from agentmesh.analytics.v1 import analytics_service_pb2 as pb

    printer, session = printer_of(context, output, lists=True), session_of(context)
    number = _number("CostGroup", "by", by, _GROUPS)
    request = in_period(pb.GetCostsRequest(user_id=user, group_by=number, time_zone=time_zone), since, until)
    answer = session.pages(_stub(session).GetCosts, request, "costs", limit)
    columns = [Column(by, lambda row: row.group), Column("name", lambda row: row.name, grows=True), *_figures(output)]
    printer.items(answer, answer.costs, columns, "No calls in this period.")


@app.command(epilog=examples("agentmesh analytics timeseries --interval hour --since 24h", "agentmesh analytics timeseries --output csv"))
def timeseries(
    context: typer.Context,
    since: Since = "",
    until: Until = "",
    interval: Annotated[str, typer.Option("--interval", help=f"One of {', '.join(_INTERVALS)}.")] = "day",
    agent: Annotated[str, typer.Option("--agent", help="Only this agent.")] = "",
    time_zone: Zone = "",
    user: User = 0,
    output: Output = Format.TABLE,
) -> None:
    """Show the figures over time."""
    from agentmesh.analytics.v1 import analytics_service_pb2 as pb

    printer, session = printer_of(context, output, lists=True), session_of(context)
    number = _number("Interval", "interval", interval, _INTERVALS)
    request = pb.GetTimeseriesRequest(user_id=user, agent_id=agent, interval=number, time_zone=time_zone)
    answer = session.ask(_stub(session).GetTimeseries, in_period(request, since, until))
    start = Column("start", lambda row: row.start_time.ToJsonString() if output is Format.CSV else moment(row, "start_time"))
    printer.items(answer, answer.points, [start, *_figures(output)], "No calls in this period.")


def in_period(request: Any, since: str, until: str) -> Any:
    """The request with its period. Raises CliError for a time that cannot be read."""
    for name, text in (("start_time", since), ("end_time", until)):
        if text:
            getattr(request, name).FromDatetime(time_of(text, SYSTEM_CLOCK.now()))
    return request


def time_of(text: str, now: datetime) -> datetime:
    """The moment that an option names: so long ago (`30m`, `24h`, `7d`, `2w`) or a date in ISO 8601; without a zone it is local time."""
    units = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
    try:
        if text[-1:] in units and text[:-1].isdecimal():
            return now - int(text[:-1]) * units[text[-1]]
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise CliError(f"invalid time '{text}'", "write it like 24h, 7d, 2026-11-01 or 2026-11-01T12:00Z", Exit.USAGE) from None


def _times(percentiles: Any) -> str:
    return ", ".join(f"{name} {seconds(getattr(percentiles, name))}" for name in ("p50", "p95", "p99"))


def _figures(output: Format) -> list[Column]:
    return _CSV_FIGURES if output is Format.CSV else _FIGURES


def _tokens(figures: Any) -> int:
    return int(figures.input_tokens + figures.output_tokens + figures.cache_read_tokens + figures.cache_write_tokens)


def _number(enum: str, option: str, word: str, words: tuple[str, ...]) -> Any:
    from agentmesh.analytics.v1 import analytics_pb2

    if word not in words:
        raise CliError(f"invalid --{option} '{word}'", f"use one of {', '.join(words)}", Exit.USAGE)
    descriptor = getattr(analytics_pb2, enum).DESCRIPTOR
    prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return descriptor.values_by_name[prefix + word.replace("-", "_").upper()].number
