"""The calls of a user with curl: find an agent, execute it, read the books."""

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from tests.contract.gateway.wire import REQUEST_ID, assert_clean, events_of
from tests.e2e.definitions import AGENT, STRICT, TRIALS
from tests.e2e.platform import Platform, question

AGENT_FIELDS = {
    *("agent_id", "number", "name", "category", "role", "description", "tags", "port", "revision"),
    *("model", "max_tokens", "context_schema", "examples"),
}
USAGE_FIELDS = {
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
    *("model", "cost_micro_usd", "price_table", "estimated"),
}
EXECUTION_FIELDS = {
    *("execution_id", "agent_id", "agent_name", "agent_revision", "status", "input", "result", "usage", "metadata"),
    *("facts", "streamed", "request_id", "created_at", "finished_at", "user_id", "api_key_id", "run_id", "step_id"),
}


async def _get(platform: Platform, path: str, **parameters: Any) -> Any:
    response = await platform.http.get(path, params=parameters)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json"), response.text
    assert REQUEST_ID.fullmatch(response.headers["x-request-id"])
    assert_clean(response)
    return response.json()


async def _agents(platform: Platform, **parameters: Any) -> tuple[list[dict[str, Any]], int]:
    answer = await _get(platform, "/api/v1/agents", **parameters)
    assert set(answer) == {"agents", "total", "facets", "nearest", "measured"}
    return answer["agents"], answer["total"]


async def test_the_platform_reports_that_it_is_alive_and_ready(platform: Platform) -> None:
    health = await _get(platform, "/health")
    assert (health["status"], set(health)) == ("healthy", {"status", "version"})
    ready = await _get(platform, "/ready")
    assert ready["status"] == "ready"
    assert [component["name"] for component in ready["components"]] == ["agent_hosts", "postgresql", "redis"]
    assert all(component["available"] for component in ready["components"])


async def test_a_list_of_agents_is_a_page_of_fifty_in_order_of_their_numbers(platform: Platform) -> None:
    agents, total = await _agents(platform)
    assert len(agents) == 50 < total
    assert [agent["number"] for agent in agents] == sorted(agent["number"] for agent in agents)
    assert all(set(agent) >= AGENT_FIELDS - {"context_schema"} and set(agent) <= AGENT_FIELDS for agent in agents)


async def test_pages_have_no_gaps_and_no_repeats(platform: Platform) -> None:
    everybody, total = await _agents(platform, limit=200)
    pages = [await _agents(platform, limit=30, offset=offset) for offset in range(0, total, 30)]
    assert {total_of_page for _, total_of_page in pages} == {total}
    assert [agent["agent_id"] for page, _ in pages for agent in page][:200] == [agent["agent_id"] for agent in everybody]
    assert await _agents(platform, offset=total) == ([], total)


async def test_a_limit_above_the_maximum_is_reduced_to_it(platform: Platform) -> None:
    agents, total = await _agents(platform, limit=100_000)
    assert len(agents) == min(total, 200)


async def test_a_search_ranks_the_best_match_first_and_counts_all_matches(platform: Platform) -> None:
    agents, total = await _agents(platform, search="technical seo", limit=3)
    assert agents[0]["agent_id"] == AGENT
    assert total >= len(agents)
    assert await _agents(platform, search="zebra xylophone") == ([], 0)


async def test_search_and_category_can_be_combined(platform: Platform) -> None:
    trials, total = await _agents(platform, category="trials")
    assert ([agent["agent_id"] for agent in trials], total) == (list(TRIALS), len(TRIALS))
    assert [agent["agent_id"] for agent in (await _agents(platform, category="trials", search="strict"))[0]] == [STRICT]
    assert await _agents(platform, category="marketing", search=STRICT) == ([], 0)
    assert await _agents(platform, category="no_such_category") == ([], 0)


async def test_an_agent_is_described_with_its_port(platform: Platform) -> None:
    agent = (await _get(platform, f"/api/v1/agents/{AGENT}"))["agent"]
    assert set(agent) == AGENT_FIELDS
    assert (agent["agent_id"], agent["number"], agent["category"], agent["role"]) == (AGENT, 1, "marketing", "seo_strategist")
    assert agent["port"] == platform.stack.ports.agents.start + 1
    assert agent["context_schema"]["type"] == "object"
    assert agent["max_tokens"] > 0
    assert agent["model"].startswith("claude-")


async def test_categories_are_listed_with_their_roles_and_sizes(platform: Platform) -> None:
    categories = (await _get(platform, "/api/v1/categories"))["categories"]
    assert [category["name"] for category in categories] == sorted(category["name"] for category in categories)
    assert sum(category["agent_count"] for category in categories) == (await _agents(platform))[1]
    assert {"name": "trials", "agent_count": len(TRIALS), "roles": ["trial"]} in categories


async def test_an_agents_health_is_checked_on_request(platform: Platform) -> None:
    health = (await _get(platform, f"/api/v1/agents/{AGENT}/health"))["health"]
    assert set(health) == {"agent_id", "status", "port", "latency_seconds", "checked_at"}
    assert (health["agent_id"], health["status"]) == (AGENT, "AGENT_HEALTH_STATUS_SERVING")
    assert 0 < health["latency_seconds"] < 1


async def test_a_call_returns_the_answer_its_usage_and_its_cost(platform: Platform) -> None:
    text = question()
    response = await platform.execute(text, context={"site_type": "shop"})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert_clean(response)
    answer = response.json()
    fields = {"agent_name", "result", "execution_time", "metadata", "execution_id", "usage", "facts"}
    assert set(answer) == fields
    assert answer["agent_name"] == "Technical SEO Auditor"
    assert len(answer["result"]) > 200
    assert 0 < answer["execution_time"] < 30
    revision = (await _get(platform, f"/api/v1/agents/{AGENT}"))["agent"]["revision"]
    facts = {"provider": "simulator", "model": "claude-sonnet-5-5", "stop_reason": "end_turn", "agent_revision": revision}
    assert answer["metadata"] == facts
    assert set(answer["usage"]) == USAGE_FIELDS
    assert int(answer["usage"]["cost_micro_usd"]) == 2 * answer["usage"]["input_tokens"] + 10 * answer["usage"]["output_tokens"]
    assert isinstance(answer["usage"]["cost_micro_usd"], str)  # int64 is a string in JSON
    assert answer["usage"]["estimated"] is False
    assert UUID(answer["execution_id"]).version == 7


async def test_the_events_of_a_stream_add_up_to_the_recorded_answer(platform: Platform) -> None:
    response = await platform.http.post(f"/api/v1/agents/{AGENT}/stream", json={"input": question()})
    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    events = events_of(response.text)
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    kinds = [next(key for key in event if key != "sequence") for event in events]
    assert kinds == ["started", *["delta"] * (len(events) - 3), "usage", "done"]
    started, done = events[0]["started"], events[-1]["done"]
    assert set(done) == {"execution_id", "agent_name", "execution_time", "metadata", "facts"}
    execution = await platform.execution(started["execution_id"])
    assert execution["execution_id"] == done["execution_id"]
    assert execution["result"] == "".join(event["delta"]["text"] for event in events[1:-2])
    assert (execution["streamed"], execution["usage"], execution["metadata"]) == (True, events[-2]["usage"], done["metadata"])


async def test_the_books_have_the_whole_execution(platform: Platform) -> None:
    text = question()
    response = await platform.execute(text, context={"site_type": "shop", "competitors": ["a.example", "b.example"]})
    answer = response.json()
    execution = await platform.execution(answer["execution_id"])
    assert set(execution) == EXECUTION_FIELDS | {"context"}
    assert execution["status"] == "EXECUTION_STATUS_COMPLETED"
    assert (execution["agent_id"], execution["agent_name"]) == (AGENT, answer["agent_name"])
    assert (execution["input"], execution["context"]) == (text, {"site_type": "shop", "competitors": ["a.example", "b.example"]})
    assert {key: execution[key] for key in ("result", "metadata", "usage")} == {key: answer[key] for key in ("result", "metadata", "usage")}
    assert execution["request_id"] == response.headers["x-request-id"]
    assert execution["streamed"] is False
    created, finished = (datetime.fromisoformat(execution[key]) for key in ("created_at", "finished_at"))
    assert created < finished


async def test_executions_are_listed_newest_first_page_by_page_without_their_texts(platform: Platform) -> None:
    made = [(await platform.execute(question(), agent_id=STRICT, context={"audience": "adults"})).json() for _ in range(3)]
    first = await _get(platform, "/api/v1/executions", agent_id=STRICT, page_size=2)
    second = await _get(platform, "/api/v1/executions", agent_id=STRICT, page_size=2, page_token=first["next_page_token"])
    listed = [*first["executions"], *second["executions"]]
    assert [execution["execution_id"] for execution in listed[:3]] == [answer["execution_id"] for answer in reversed(made)]
    for execution in listed[:3]:
        assert set(execution) == EXECUTION_FIELDS
        assert (execution["input"], execution["result"], execution["metadata"]) == ("", "", {})
        assert execution["usage"]["output_tokens"] > 0


@pytest.mark.parametrize("status", ["EXECUTION_STATUS_COMPLETED", "EXECUTION_STATUS_FAILED"])
async def test_executions_are_filtered_by_status(platform: Platform, status: str) -> None:
    await platform.execute(question())
    await platform.execute(question(), agent_id=STRICT, context={"audience": "nobody"})
    executions = (await _get(platform, "/api/v1/executions", status=status))["executions"]
    assert {execution["status"] for execution in executions} == {status}


async def test_the_gateways_root_links_to_the_entry_points(platform: Platform) -> None:
    assert (await _get(platform, "/"))["agents"] == "/api/v1/agents"
    assert (await _get(platform, "/openapi.json"))["openapi"].startswith("3.")
