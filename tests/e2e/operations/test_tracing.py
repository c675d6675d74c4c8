"""The trace of a call, from the gateway to the model provider, and the trace of a run, as a collector receives them."""

import secrets
from collections.abc import Callable
from typing import Any

from tests.e2e.definitions import AGENT
from tests.e2e.platform import Platform, question
from tests.e2e.workflows import AT_ONCE, Workflows, steps_of, task
from tests.support.collector import Collector, Received
from tests.support.waiting import eventually

EXECUTE, STREAM = "agentmesh.execution.v1.ExecutionService/ExecuteAgent", "agentmesh.execution.v1.ExecutionService/StreamAgent"
ON_HOST, STREAM_ON_HOST = "agentmesh.agent.v1.AgentService/Execute", "agentmesh.agent.v1.AgentService/StreamExecute"
CHAT = "chat claude-sonnet-5-5"
AT_GATEWAY = [("gateway", "SERVER", "ingress"), ("gateway", "CLIENT", "router orchestrator egress")]
CALL = ("INTERNAL", "record intent"), ("CLIENT", f"invoke_agent {AGENT}"), ("INTERNAL", "settle")


def new_request_id() -> str:
    return f"req_{secrets.token_hex(8)}"


async def trace_with(collector: Collector, found: Callable[[Received], bool], spans: int) -> list[Received]:
    """The trace of the first span that `found` accepts, once it has this many spans."""

    def complete() -> list[Received]:
        first = next(filter(found, collector.spans), None)
        trace = collector.of_trace(first.trace_id) if first else []
        return trace if len(trace) >= spans else []

    await eventually(lambda: bool(complete()))
    return complete()


async def trace_of(collector: Collector, request_id: str, spans: int) -> list[Received]:
    return await trace_with(collector, lambda span: span.attributes.get("agentmesh.request_id") == request_id, spans)


def tree(trace: list[Received], parent_id: str = "") -> list[Any]:
    """The spans as (service, kind, name), each followed by the list of its children; siblings in the order of their beginnings."""
    nodes: list[Any] = []
    for span in sorted(trace, key=lambda span: span.began):
        if span.parent_id == parent_id:
            below = tree(trace, span.span_id)
            nodes += [(span.service, span.kind, span.name), below] if below else [(span.service, span.kind, span.name)]
    return nodes


def call_of(service: str, on_host: str = ON_HOST) -> list[Any]:
    """The subtree of a call in the process that buys it."""
    intent, invoke, settle = ((service, *one) for one in CALL)
    return [intent, invoke, [("agent_server", "SERVER", on_host), [("agent_server", "CLIENT", CHAT)]], settle]


def named(trace: list[Received], name: str) -> Received:
    (span,) = (span for span in trace if span.name == name)
    return span


async def test_a_call_is_one_trace_from_the_gateway_to_the_provider(secured: Platform, collector: Collector) -> None:
    request_id, text = new_request_id(), question()
    answer = (await secured.execute(text, headers={"x-request-id": request_id})).json()
    trace = await trace_of(collector, request_id, 8)
    assert tree(trace) == [AT_GATEWAY[0], [AT_GATEWAY[1], [("orchestrator", "SERVER", EXECUTE), call_of("orchestrator")]]]
    assert {span.attributes["agentmesh.request_id"] for span in trace} == {request_id}
    assert not any(span.failed or span.links for span in trace)
    chat, usage = named(trace, CHAT).attributes, answer["usage"]
    assert chat == {
        "agentmesh.request_id": request_id,
        "agentmesh.execution_id": answer["execution_id"],
        "agentmesh.usage.estimated": False,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "simulator",
        "gen_ai.request.model": "claude-sonnet-5-5",
        "gen_ai.request.max_tokens": chat["gen_ai.request.max_tokens"],
        "gen_ai.response.model": "claude-sonnet-5-5",
        "gen_ai.response.finish_reasons": ["end_turn"],
        "gen_ai.usage.input_tokens": usage["input_tokens"] + usage["cache_read_tokens"] + usage["cache_write_tokens"],
        "gen_ai.usage.output_tokens": usage["output_tokens"],
        "gen_ai.usage.cache_read.input_tokens": usage["cache_read_tokens"],
        "gen_ai.usage.cache_creation.input_tokens": usage["cache_write_tokens"],
    }
    assert named(trace, ON_HOST).attributes["gen_ai.agent.id"] == AGENT
    assert named(trace, "settle").attributes["agentmesh.cost_micro_usd"] == int(usage["cost_micro_usd"])
    raw = "".join(span.raw for span in trace)
    for content in (text[:40], text[-20:], answer["result"][:30], secured.stack.credentials.token):
        assert content not in raw


async def test_a_stream_is_traced_to_its_end(secured: Platform, collector: Collector) -> None:
    request_id = new_request_id()
    await secured.http.post(f"/api/v1/agents/{AGENT}/stream", json={"input": question()}, headers={"x-request-id": request_id})
    trace = await trace_of(collector, request_id, 8)
    below = call_of("orchestrator", STREAM_ON_HOST)
    assert tree(trace) == [AT_GATEWAY[0], [AT_GATEWAY[1], [("orchestrator", "SERVER", STREAM), below]]]
    assert named(trace, CHAT).attributes["gen_ai.request.stream"] is True


async def test_an_error_names_its_trace_everywhere(secured: Platform, collector: Collector) -> None:
    """In the envelope, in the log lines of every process, and in the access log."""
    request_id, text = new_request_id(), question()
    await secured.provider.fault("proxy", text, argument=403)
    response = await secured.execute(text, headers={"x-request-id": request_id})
    error = response.json()["error"]
    trace = await trace_of(collector, request_id, 8)
    assert error["details"]["trace_id"] == trace[0].trace_id
    failed = {span.name: span.attributes["error.type"] for span in trace if span.failed and span.service != "gateway"}
    assert failed == dict.fromkeys((EXECUTE, f"invoke_agent {AGENT}", ON_HOST, CHAT), "LLM_API_ERROR")
    for process in ("orchestrator", "agents-0"):
        lines = secured.log_lines(process, request_id)
        assert lines
        assert {line["trace_id"] for line in lines} == {error["details"]["trace_id"]}
    (logged,) = secured.log_lines("envoy.access", request_id)
    assert logged["trace_id"] == error["details"]["trace_id"]


async def test_neither_a_query_nor_a_callers_trace_gets_into_a_trace(secured: Platform, collector: Collector) -> None:
    request_id, words, foreign = new_request_id(), secrets.token_hex(8), "1" * 32
    headers = {"x-request-id": request_id, "traceparent": f"00-{foreign}-{'2' * 16}-01"}
    await secured.http.get("/api/v1/agents", params={"search": words}, headers=headers)
    trace = await trace_of(collector, request_id, 3)
    assert foreign not in {span.trace_id for span in trace}
    assert words not in "".join(span.raw for span in trace)


async def test_a_run_has_a_trace_with_its_own_id_that_is_linked_to_its_request(secured: Platform, collector: Collector) -> None:
    request_id, workflows = new_request_id(), Workflows(secured)
    texts = [question(), question()]
    await secured.provider.fault("malformed", texts[1], count=1)  # the first attempt of the second step fails
    made = await workflows.create(task("one", texts[0]), task("two", texts[1], retry=AT_ONCE))
    run = await workflows.ended((await workflows.execute(made["workflow_id"], headers={"x-request-id": request_id}))["run_id"])
    assert run["status"] == "RUN_STATUS_COMPLETED", run
    run_trace_id = run["run_id"].replace("-", "")
    trace = await trace_with(collector, lambda span: span.trace_id == run_trace_id and span.name == "run", 20)
    step = ("worker", "CONSUMER", "step")
    below = call_of("worker")
    assert tree(trace) == [
        ("worker", "INTERNAL", "run"),
        [("orchestrator", "PRODUCER", "start run"), step, below, step, below, step, below],
    ]
    steps = [(span.attributes["agentmesh.task_id"], span.attributes["agentmesh.step.attempt"]) for span in trace if span.name == "step"]
    assert sorted(steps) == [("one", 1), ("two", 1), ("two", 2)]
    assert {span.attributes["agentmesh.request_id"] for span in trace} == {request_id}
    root, start = named(trace, "run"), named(trace, "start run")
    assert (root.attributes["agentmesh.run.state"], root.failed) == ("completed", False)
    assert root.seconds >= max(span.seconds for span in trace)
    (request,) = (span for span in collector.of_request(request_id) if span.name.endswith("/ExecuteWorkflow"))
    assert request.links == [(run_trace_id, root.span_id)]
    assert start.links == [(request.trace_id, request.span_id)]
    raw = "".join(span.raw for span in trace)
    results = [one["result"][:30] for one in steps_of(run).values()]
    assert not [content for content in (*(text[-20:] for text in texts), *results) if content in raw]
