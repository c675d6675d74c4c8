"""Requests to analytics and their answers as messages."""

from datetime import UTC, datetime
from typing import Any

import pytest
from agentmesh.analytics.v1 import analytics_pb2 as an
from agentmesh.analytics.v1 import analytics_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.errors import ValidationFailed
from mesh.rpc.interceptors.validation import check
from mesh.rpc.requests.paging import number_token
from orchestrator.analytics import convert
from orchestrator.analytics.histogram import duration_slot
from orchestrator.analytics.model import AnswerOf, Asked, Figures, Group, Interval, Order, Range, Subject

THEN, LATER = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)
REQUESTS = (pb.GetSummaryRequest, pb.ListAgentStatsRequest, pb.GetTimeseriesRequest, pb.GetCostsRequest)
FIGURES = Figures(10, 7, 1, 1, 1, 100, 50, 3, 4, 900, 14.0)


@pytest.mark.parametrize("request_type", REQUESTS)
def test_every_request_names_a_range_and_a_user(request_type: Any) -> None:
    assert convert.asked(request_type()) == Asked(None, None, 0)
    begins, ends = Timestamp(), Timestamp()
    begins.FromDatetime(THEN)
    ends.FromDatetime(LATER)
    assert convert.asked(request_type(start_time=begins, end_time=ends, user_id=7)) == Asked(THEN, LATER, 7)


@pytest.mark.parametrize("seconds", [-1, 4_102_444_800, 253_402_300_800, -(2**62)])
@pytest.mark.parametrize("request_type", REQUESTS)
def test_times_out_of_bounds_are_refused_by_name(request_type: Any, seconds: int) -> None:
    with pytest.raises(ValidationFailed) as refused:
        convert.asked(request_type(start_time=Timestamp(seconds=seconds), end_time=Timestamp(seconds=seconds)))
    assert [one.field for one in refused.value.violations] == ["start_time", "end_time"]


@pytest.mark.parametrize(
    "bad",
    [
        pb.GetSummaryRequest(user_id=-1),
        pb.GetSummaryRequest(agent_id="x" * 201),
        pb.GetSummaryRequest(agent_id="a b"),
        pb.ListAgentStatsRequest(page_size=0),
        pb.ListAgentStatsRequest(order_by=99),  # type: ignore[arg-type]
        pb.GetTimeseriesRequest(time_zone="Europe/Berlin\n"),
        pb.GetTimeseriesRequest(time_zone="x" * 65),
        pb.GetTimeseriesRequest(interval=99),  # type: ignore[arg-type]
        pb.GetCostsRequest(group_by=99),  # type: ignore[arg-type]
    ],
)
def test_values_out_of_bounds_are_refused(bad: Any) -> None:
    with pytest.raises(ValidationFailed):
        check(bad)


def test_every_enum_value_has_a_meaning_and_unspecified_the_documented_one() -> None:
    assert {convert.interval(pb.GetTimeseriesRequest(interval=one)) for one in an.Interval.values()} == set(Interval)
    assert {convert.order(pb.ListAgentStatsRequest(order_by=one)) for one in an.StatsOrder.values()} == set(Order)
    assert {convert.group(pb.GetCostsRequest(group_by=one)) for one in an.CostGroup.values()} == set(Group)
    assert convert.interval(pb.GetTimeseriesRequest()) is Interval.DAY
    assert convert.order(pb.ListAgentStatsRequest()) is Order.CALLS
    assert convert.group(pb.GetCostsRequest()) is Group.AGENT


def test_the_token_of_a_page_leads_to_the_next_one() -> None:
    answer = AnswerOf(Range(THEN, LATER), LATER, subjects=[Subject("a", "Agent", "legal", FIGURES)] * 3, more=True)
    agents, costs = convert.agents_response(answer, 4), convert.costs_response(answer, 4)
    assert convert.offset(pb.ListAgentStatsRequest(page_token=agents.next_page_token)) == 7
    assert convert.offset(pb.GetCostsRequest(page_token=costs.next_page_token)) == 7
    assert agents.start_time.ToDatetime(tzinfo=UTC) == THEN
    assert convert.costs_response(AnswerOf(Range(THEN, LATER), None), 0).next_page_token == ""


@pytest.mark.parametrize("token", ["x", number_token(convert.MOST_OFFSET + 1), number_token(2**62)])
def test_a_token_that_no_page_returned_is_refused(token: str) -> None:
    with pytest.raises(ValidationFailed, match="next_page_token"):
        convert.offset(pb.GetCostsRequest(page_token=token))


def test_figures_are_shown_with_the_mean_duration() -> None:
    shown = convert.figures(FIGURES)
    assert (shown.calls, shown.completed, shown.outcome_unknown, shown.cost_micro_usd, shown.mean_seconds) == (10, 7, 1, 900, 2.0)
    assert convert.figures(Figures()).mean_seconds == 0


def test_percentiles_of_nothing_are_0() -> None:
    assert convert.percentiles({}) == an.Percentiles()
    assert convert.percentiles({duration_slot(2.0): 5}).p99 == pytest.approx(2.0, rel=0.05)
