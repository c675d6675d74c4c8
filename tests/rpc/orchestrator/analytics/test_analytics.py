"""The rpcs of analytics on a real orchestrator: whose figures they show, and what they refuse."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from agentmesh.analytics.v1 import analytics_pb2 as an
from agentmesh.analytics.v1 import analytics_service_pb2 as pb
from agentmesh.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from agentmesh.execution.v1 import execution_service_pb2 as execution
from google.protobuf.timestamp_pb2 import Timestamp

from orchestrator.adapters.analytics.rollup import UsageRollup
from tests.adapters.agent_host.running import agent_id, write_agent
from tests.adapters.orchestrator.analytics.counting import AGENTS, executions, record
from tests.conftest import CreateDatabase
from tests.rpc.orchestrator.running import failure_of, running_orchestrator

if TYPE_CHECKING:
    from agentmesh.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceAsyncStub
    from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceAsyncStub

YESTERDAY = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)


@dataclass(frozen=True)
class Served:
    """The service, and how many executions each user has."""

    stub: "AnalyticsServiceAsyncStub"
    executions: "ExecutionServiceAsyncStub"
    made: list[dict[str, Any]]
    user_id: int
    calls: int


@pytest.fixture(scope="module")
async def served(create_database: CreateDatabase, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """An orchestrator without agents, on figures that a worker has counted. The user is one of three with executions."""
    folder = tmp_path_factory.mktemp("analytics")
    definitions = folder / "definitions"
    definitions.mkdir()
    write_agent(definitions, 1)
    url = await create_database(f"analytics_{secrets.token_hex(4)}")
    settings = {"DATABASE_URL": url, "REDIS_URL": redis_url, "DEFINITIONS_PATH": str(definitions)}
    async with running_orchestrator(folder, **settings) as orchestrator:
        db = await asyncpg.connect(url.replace("+asyncpg", ""))
        made = executions(120, YESTERDAY, timedelta(hours=5))
        for one in made:
            one["user_id"] = orchestrator.user_id if one["user_id"] == 1 else 1000 + one["user_id"]
            one["agent_id"] = agent_id(1) if one["agent_id"] == AGENTS[0] else one["agent_id"]
        await record(db, made)
        await db.close()
        rollup = UsageRollup(url, lambda _: "marketing")
        while await rollup.count():
            pass
        await rollup._connection.close()
        mine = sum(one["user_id"] == orchestrator.user_id for one in made)
        yield Served(AnalyticsServiceStub(orchestrator.channel), orchestrator.executions, made, orchestrator.user_id, mine)


async def test_a_user_gets_the_figures_of_the_users_own_executions(served: Served) -> None:
    summary = await served.stub.GetSummary(pb.GetSummaryRequest())
    assert 0 < served.calls == summary.figures.calls < 120
    assert summary.end_time.ToDatetime() - summary.start_time.ToDatetime() == timedelta(days=30)
    assert summary.counted_until.ToDatetime(tzinfo=UTC) > YESTERDAY
    assert 0 < summary.seconds.p50 <= summary.seconds.p90 <= summary.seconds.p95 <= summary.seconds.p99
    assert sum(one.calls for one in summary.errors) == summary.figures.calls - summary.figures.completed
    assert await served.stub.GetSummary(pb.GetSummaryRequest(user_id=served.user_id)) == summary


async def test_the_pages_of_agents_add_up_to_the_summary(served: Served) -> None:
    found: list[an.AgentStats] = []
    token = ""
    while True:
        page = await served.stub.ListAgentStats(pb.ListAgentStatsRequest(page_size=2, page_token=token))
        found += page.agents
        if not (token := page.next_page_token):
            break
    assert {one.agent_id for one in found} <= {agent_id(1), *AGENTS}
    assert [one.category for one in found] == ["marketing"] * len(found)
    assert sum(one.figures.calls for one in found) == served.calls


async def test_a_time_series_has_a_point_for_every_interval(served: Served) -> None:
    begins = Timestamp(seconds=int(YESTERDAY.timestamp()))
    ends = Timestamp(seconds=int((YESTERDAY + timedelta(hours=5)).timestamp()))
    request = pb.GetTimeseriesRequest(start_time=begins, end_time=ends, interval=an.INTERVAL_QUARTER_HOUR)
    points = (await served.stub.GetTimeseries(request)).points
    assert len(points) == 20
    assert [point.end_time for point in points[:-1]] == [point.start_time for point in points[1:]]
    assert sum(point.figures.calls for point in points) == served.calls


@pytest.mark.parametrize("group", [value for value in an.CostGroup.values() if value])
async def test_the_costs_of_every_grouping_add_up_to_the_summary(served: Served, group: an.CostGroup.ValueType) -> None:
    costs = (await served.stub.GetCosts(pb.GetCostsRequest(group_by=group, page_size=200, time_zone="Asia/Kathmandu"))).costs
    summary = await served.stub.GetSummary(pb.GetSummaryRequest())
    assert sum(one.figures.cost_micro_usd for one in costs) == summary.figures.cost_micro_usd
    if group == an.COST_GROUP_USER:
        assert [(one.group, one.name) for one in costs] == [(str(served.user_id), "tester")]


@pytest.mark.parametrize("user_id", [1002, 99_999_999])
async def test_the_figures_of_another_user_are_not_found(served: Served, user_id: int) -> None:
    for call in (
        served.stub.GetSummary(pb.GetSummaryRequest(user_id=user_id)),
        served.stub.ListAgentStats(pb.ListAgentStatsRequest(user_id=user_id)),
        served.stub.GetTimeseries(pb.GetTimeseriesRequest(user_id=user_id)),
        served.stub.GetCosts(pb.GetCostsRequest(user_id=user_id)),
    ):
        assert (await failure_of(call)).reason == "USER_NOT_FOUND"


@pytest.mark.parametrize(
    ("rpc", "request_", "field"),
    [
        ("GetTimeseries", pb.GetTimeseriesRequest(time_zone="Mars/Olympus"), "time_zone"),
        ("GetTimeseries", pb.GetTimeseriesRequest(interval=an.INTERVAL_QUARTER_HOUR), "interval"),
        ("GetCosts", pb.GetCostsRequest(time_zone="../../etc/passwd", group_by=an.COST_GROUP_DAY), "time_zone"),
        ("GetCosts", pb.GetCostsRequest(page_token="x"), "page_token"),
        ("GetSummary", pb.GetSummaryRequest(start_time=Timestamp(seconds=1)), "start_time"),
        ("GetSummary", pb.GetSummaryRequest(end_time=Timestamp(seconds=2**40)), "end_time"),
        ("ListAgentStats", pb.ListAgentStatsRequest(page_size=0), "page_size"),
    ],
)
async def test_a_value_out_of_bounds_is_refused_by_field(served: Served, rpc: str, request_: Any, field: str) -> None:
    error = await failure_of(getattr(served.stub, rpc)(request_))
    assert (error.reason, [one.field for one in error.violations]) == ("VALIDATION_ERROR", [field])


async def test_an_estimate_has_the_worst_case_and_what_is_typical_of_the_agent(served: Served) -> None:
    """Of the executions of all users."""
    done = [one for one in served.made if one["agent_id"] == agent_id(1) and one["status"] == "completed"]
    costs, seconds = (sorted(one[name] for one in done) for name in ("cost_micro_usd", "seconds"))
    short, long = [
        await served.executions.EstimateExecution(execution.EstimateExecutionRequest(agent_id=agent_id(1), input="Plan it. " * words))
        for words in (1, 1000)
    ]
    assert short.samples == len(done) > 5
    for place, (cost, took) in enumerate(
        ((short.typical_micro_usd.p50, short.typical_seconds.p50), (short.typical_micro_usd.p90, short.typical_seconds.p90))
    ):
        rank = ceil((0.5, 0.9)[place] * len(done)) - 1
        assert cost == pytest.approx(costs[rank], rel=0.05, abs=1)
        assert took == pytest.approx(seconds[rank], rel=0.05)
    assert 0 < short.input_tokens < long.input_tokens
    assert 0 < short.worst_case_micro_usd < long.worst_case_micro_usd
    assert (long.samples, long.typical_seconds) == (short.samples, short.typical_seconds)


async def test_an_estimate_of_an_agent_that_does_not_exist_is_refused(served: Served) -> None:
    request = execution.EstimateExecutionRequest(agent_id="own_helper_agent_1_999", input="Plan it.")
    assert (await failure_of(served.executions.EstimateExecution(request))).reason == "AGENT_NOT_FOUND"
    empty = execution.EstimateExecutionRequest(agent_id=agent_id(1))
    assert (await failure_of(served.executions.EstimateExecution(empty))).reason == "VALIDATION_ERROR"
