"""Whatever the outcome of a call, the books, the provider's log and the figures of analytics agree."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.contract.gateway.wire import error_of
from tests.e2e.books import check_books
from tests.e2e.definitions import AGENT
from tests.e2e.platform import Platform, question
from tests.e2e.users import new_key, new_user
from tests.support.credentials import bearer
from tests.support.waiting import eventually

STREAM = f"/api/v1/agents/{AGENT}/stream"
FAULTS = ("529", "500", "malformed", "cut", "empty", "stream-error", "secret", "big")


async def test_the_books_agree_with_the_provider_for_calls_of_every_outcome(platform: Platform) -> None:
    before = await check_books(platform)
    questions = {fault: question() for fault in FAULTS}
    for fault, text in questions.items():
        await platform.provider.fault(fault, text)
    asked = [question(), *questions.values()]
    wholes = [platform.execute(text) for text in asked]
    streams = [platform.http.post(STREAM, json={"input": text}) for text in asked]
    await asyncio.gather(*wholes, *streams, _leave(platform), _leave(platform))
    # Bought: 2 plain, 2 each of malformed, cut, empty, secret and big, the stream with the error event, and the 2 abandoned calls.
    assert await check_books(platform) == before + 2 + 2 * 5 + 1 + 2


async def _leave(platform: Platform) -> None:
    text = question()
    await platform.provider.fault("hang", text)
    call = asyncio.create_task(platform.execute(text))
    await platform.provider.asked(text)
    call.cancel()
    await asyncio.wait([call])


async def _analytics(platform: Platform, path: str, headers: Mapping[str, str], **query: Any) -> dict[str, Any]:
    response = await platform.anonymous.get(f"/api/v1/analytics/{path}", params=query, headers=headers)
    assert response.status_code == 200, response.text
    return dict(response.json())


async def _listed(platform: Platform, headers: Mapping[str, str], **query: Any) -> list[dict[str, Any]]:
    """The executions behind a figure."""
    response = await platform.anonymous.get("/api/v1/executions", params=query, headers=headers)
    assert response.status_code == 200, response.text
    return list(response.json()["executions"])


async def test_calls_are_found_in_every_figure(platform: Platform) -> None:
    user = await new_user(platform)
    key_id, secret = await new_key(platform, user)
    answers = [await platform.execute(question(), headers=headers) for headers in (user.headers, user.headers, bearer(secret))]
    broken = question()
    await platform.provider.fault("500", broken)
    assert (await platform.execute(broken, headers=user.headers)).status_code == 502
    cost = [int(answer.raise_for_status().json()["usage"]["cost_micro_usd"]) for answer in answers]

    async def counted() -> dict[str, Any] | None:
        summary = await _analytics(platform, "summary", user.headers)
        return summary if summary["figures"]["calls"] == "4" else None

    summary = await eventually(counted, 20)
    assert summary is not None
    figures = summary["figures"]
    assert (figures["completed"], figures["failed"], figures["cost_micro_usd"]) == ("3", "1", str(sum(cost)))
    assert summary["errors"] == [{"reason": "LLM_API_ERROR", "calls": "1"}]
    assert 0 < summary["seconds"]["p50"] <= summary["seconds"]["p99"]
    (agent,) = (await _analytics(platform, "agents", user.headers))["agents"]
    assert (agent["agent_id"], agent["category"], agent["figures"]) == (AGENT, "marketing", figures)
    series = await _analytics(platform, "timeseries", user.headers, interval="INTERVAL_HOUR", time_zone="Asia/Kathmandu", agent_id=AGENT)
    assert sum(int(point["figures"]["calls"]) for point in series["points"]) == 4
    keys = (await _analytics(platform, "costs", user.headers, group_by="COST_GROUP_KEY"))["costs"]
    assert {one["group"]: one["figures"]["cost_micro_usd"] for one in keys} == {key_id: str(cost[2]), "": str(cost[0] + cost[1])}
    listed = await _listed(platform, user.headers, reason="LLM_API_ERROR", start_time=summary["start_time"], end_time=summary["end_time"])
    assert [one["failure"]["code"] for one in listed] == ["LLM_API_ERROR"]
    assert [one["execution_id"] for one in await _listed(platform, user.headers, api_key_id=key_id)] == [answers[2].json()["execution_id"]]
    assert len(await _listed(platform, platform.http.headers, user_id=listed[0]["user_id"], agent_id=AGENT)) == 4
    users = (await _analytics(platform, "costs", platform.http.headers, group_by="COST_GROUP_USER", page_size=200))["costs"]
    assert [one["figures"] for one in users if one["name"] == user.username] == [figures]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("timeseries?time_zone=Mars/Olympus", "time_zone"),
        ("timeseries?interval=INTERVAL_QUARTER_HOUR", "interval"),
        ("summary?start_time=2024-01-01T00:00:00Z", "start_time"),
        ("costs?page_token=x", "page_token"),
        ("agents?start_time=2030-01-01T00:00:00Z&end_time=2029-01-01T00:00:00Z", "start_time"),
    ],
)
async def test_a_question_out_of_bounds_is_refused_by_field(platform: Platform, query: str, field: str) -> None:
    response = await platform.http.get(f"/api/v1/analytics/{query}")
    (violation,) = error_of(response, 422, "VALIDATION_ERROR")["details"]["field_violations"]
    assert violation["field"] == field
