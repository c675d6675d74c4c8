"""Converts between the domain types and the messages of agentmesh.analytics.v1."""

from datetime import datetime
from typing import Any

from agentmesh.analytics.v1 import analytics_pb2 as an
from agentmesh.analytics.v1 import analytics_service_pb2 as pb
from google.protobuf import timestamp_pb2

from mesh.errors import ValidationFailed
from mesh.rpc.requests.paging import number_token, read_number_token
from mesh.rpc.requests.times import times
from orchestrator.analytics.histogram import Histogram, percentile_slots, seconds_of
from orchestrator.analytics.model import AnswerOf, Asked, Figures, Group, Interval, Order, Point, Subject, Summary

MOST_OFFSET = 1_000_000
_FRACTIONS = (0.5, 0.9, 0.95, 0.99)
_INTERVALS = {an.Interval.Value(f"INTERVAL_{one.name}"): one for one in Interval}
_ORDERS = {an.StatsOrder.Value(f"STATS_ORDER_{one.name}"): one for one in Order}
_GROUPS = {an.CostGroup.Value(f"COST_GROUP_{one.name}"): one for one in Group}


def asked(request: Any) -> Asked:
    """The range and the user of any request. Raises ValidationFailed for a time that is out of bounds."""
    moments = times(request, "start_time", "end_time")
    return Asked(moments.get("start_time"), moments.get("end_time"), request.user_id)


def offset(request: Any) -> int:
    """How many items the pages before have shown. Raises ValidationFailed for a token that no page returned."""
    shown = read_number_token(request.page_token) or 0
    if shown > MOST_OFFSET:
        raise ValidationFailed.of("page_token", "must be the next_page_token of an earlier response")
    return shown


def interval(request: pb.GetTimeseriesRequest) -> Interval:
    return _INTERVALS.get(request.interval, Interval.DAY)


def order(request: pb.ListAgentStatsRequest) -> Order:
    return _ORDERS.get(request.order_by, Order.CALLS)


def group(request: pb.GetCostsRequest) -> Group:
    return _GROUPS.get(request.group_by, Group.AGENT)


def summary_response(summary: Summary) -> pb.GetSummaryResponse:
    return pb.GetSummaryResponse(
        start_time=_time(summary.range.begins),
        end_time=_time(summary.range.ends),
        counted_until=_time(summary.counted_until),
        figures=figures(summary.now.figures),
        seconds=percentiles(summary.now.durations),
        errors=[an.ReasonCount(reason=reason, calls=calls) for reason, calls in summary.reasons],
        previous=figures(summary.before.figures),
        previous_seconds=percentiles(summary.before.durations),
    )


def agents_response(answer: AnswerOf, shown_before: int) -> pb.ListAgentStatsResponse:
    return pb.ListAgentStatsResponse(**_common(answer), agents=map(_agent, answer.subjects), next_page_token=_token(answer, shown_before))


def timeseries_response(answer: AnswerOf) -> pb.GetTimeseriesResponse:
    return pb.GetTimeseriesResponse(**_common(answer), points=map(_point, answer.points))


def costs_response(answer: AnswerOf, shown_before: int) -> pb.GetCostsResponse:
    costs = [an.GroupCost(group=one.subject, name=one.name, figures=figures(one.figures)) for one in answer.subjects]
    return pb.GetCostsResponse(**_common(answer), costs=costs, next_page_token=_token(answer, shown_before))


def figures(figures: Figures) -> an.Figures:
    return an.Figures(
        calls=figures.calls,
        completed=figures.completed,
        failed=figures.failed,
        cancelled=figures.cancelled,
        outcome_unknown=figures.unknown,
        input_tokens=figures.input_tokens,
        output_tokens=figures.output_tokens,
        cache_read_tokens=figures.cache_read_tokens,
        cache_write_tokens=figures.cache_write_tokens,
        cost_micro_usd=figures.cost_micro_usd,
        mean_seconds=figures.mean_seconds,
    )


def percentiles(durations: Histogram) -> an.Percentiles:
    """The percentiles of a histogram of durations; all 0 if it is empty."""
    p50, p90, p95, p99 = (0.0 if slot is None else seconds_of(slot) for slot in percentile_slots(durations, _FRACTIONS))
    return an.Percentiles(p50=p50, p90=p90, p95=p95, p99=p99)


def _agent(subject: Subject) -> an.AgentStats:
    return an.AgentStats(agent_id=subject.subject, name=subject.name, category=subject.category, figures=figures(subject.figures))


def _point(point: Point) -> an.Point:
    return an.Point(
        start_time=_time(point.begins),
        end_time=_time(point.ends),
        figures=figures(point.measured.figures),
        seconds=percentiles(point.measured.durations),
    )


def _common(answer: AnswerOf) -> dict[str, Any]:
    return {
        "start_time": _time(answer.range.begins),
        "end_time": _time(answer.range.ends),
        "counted_until": _time(answer.counted_until),
    }


def _token(answer: AnswerOf, shown_before: int) -> str:
    return number_token(shown_before + len(answer.subjects)) if answer.more else ""


def _time(moment: datetime | None) -> timestamp_pb2.Timestamp | None:
    if moment is None:
        return None
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(moment)
    return message
