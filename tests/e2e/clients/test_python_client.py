"""The Python client against the platform, through the gateway, also where the network breaks."""

import asyncio
import inspect
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentmesh_client import (
    AccessToken,
    AgentFailed,
    AsyncClient,
    Client,
    Credentials,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    RetryPolicy,
    Session,
    messages,
)
from tests.contract.gateway.relay import Relay
from tests.e2e.definitions import AGENT, STRICT
from tests.e2e.platform import Platform, question
from tests.e2e.users import new_key, new_name, new_user
from tests.e2e.workflows import Workflows, task

PROGRAMS = Path(__file__).with_name("programs")
FAST = RetryPolicy(attempts=20, first_delay_seconds=0.05, longest_delay_seconds=0.2)


class InThreads:
    """The client for threads with the methods of the one for asyncio, so that one test covers both."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, service: str) -> Any:
        return _Threaded(getattr(self._client, service))

    async def close(self) -> None:
        self._client.close()


class _Threaded:
    def __init__(self, service: Any) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._service, name)
        if "Iterator" in inspect.signature(method).return_annotation:
            return lambda *arguments, **options: _read(method(*arguments, **options))
        return lambda *arguments, **options: asyncio.to_thread(method, *arguments, **options)


async def _read(iterator: Iterator[Any]) -> AsyncIterator[Any]:
    while (item := await asyncio.to_thread(next, iterator, None)) is not None:
        yield item


@pytest.fixture(params=["asyncio", "threads"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def client(kind: str, url: str, credentials: Credentials) -> Any:
    return AsyncClient(url, credentials, retry=FAST) if kind == "asyncio" else InThreads(Client(url, credentials, retry=FAST))


@pytest.fixture
async def mesh(kind: str, platform: Platform) -> AsyncIterator[Any]:
    """The first administrator's client."""
    made = client(kind, platform.stack.gateway_url, AccessToken(platform.stack.credentials.token))
    yield made
    await made.close()


@pytest.fixture
async def relay(platform: Platform) -> AsyncIterator[Relay]:
    """The network between a client and the gateway."""
    made = Relay()
    made.target = platform.stack.ports.gateway
    await made.accept()
    yield made
    await made.refuse()


@pytest.fixture
async def far(kind: str, platform: Platform, relay: Relay) -> AsyncIterator[Any]:
    """The same client, behind the network."""
    made = client(kind, f"http://127.0.0.1:{relay.port}", AccessToken(platform.stack.credentials.token))
    yield made
    await made.close()


async def test_a_watched_run_continues_where_the_connection_broke(platform: Platform, workflows: Workflows, relay: Relay, far: Any) -> None:
    """Every change arrives once, in order, although the connection breaks after the first and after each step."""
    text = question()
    await platform.provider.fault("delay", text, argument=300)
    made = await workflows.create(task("a", text), task("b", text), task("c", text))
    run = (await far.workflow.execute_workflow(messages.ExecuteWorkflowRequest(workflow_id=made["workflow_id"]))).run
    seen, cuts = [], 0
    async for change in far.workflow.watch_run(messages.WatchRunRequest(run_id=run.run_id)):
        seen.append(change)
        if len(seen) == 1 or change.step.step.status == messages.STEP_STATUS_COMPLETED:
            relay.cut()
            cuts += 1
    assert cuts == 4
    assert [change.sequence for change in seen[:-1]] == list(range(1, len(seen)))
    assert seen[-1].done.status == messages.RUN_STATUS_COMPLETED


async def test_a_call_whose_answer_was_lost_is_not_bought_again(platform: Platform, relay: Relay, far: Any) -> None:
    await far.health.get_health(messages.GetHealthRequest())  # connects
    text = question()
    relay.hold_answers()
    call = asyncio.create_task(_execute(far, text))
    bought = await platform.provider.asked(text)
    recorded = await platform.settled(bought["execution_id"])
    relay.cut()
    answer = await call
    assert (answer.execution_id, answer.result) == (recorded["execution_id"], recorded["result"])
    assert len(platform.provider.purchases(text)) == 1


async def test_a_call_waits_for_a_gateway_that_is_away_for_a_moment(platform: Platform, relay: Relay, far: Any) -> None:
    text = question()
    await relay.refuse()
    call = asyncio.create_task(_execute(far, text))
    await asyncio.wait([call], timeout=0.2)
    assert not call.done()
    await relay.accept()
    assert (await call).result
    assert len(platform.provider.purchases(text)) == 1


async def test_pages_are_read_to_the_end(platform: Platform, kind: str, mesh: Any) -> None:
    user = await new_user(platform)
    own = client(kind, platform.stack.gateway_url, AccessToken(user.access_token))
    names = [f"Launch {number}" for number in range(5)]
    for name in names:
        one = messages.Task(id="a", agent_id=AGENT, input="Help")
        await own.workflow.create_workflow(messages.CreateWorkflowRequest(name=name, tasks=[one]))
    listed = own.workflow.all_workflows(messages.ListWorkflowsRequest(page_size=2))
    assert [workflow.name async for workflow in listed] == names[::-1]
    await own.close()
    request = messages.ListAgentsRequest(category="trials", limit=1)
    assert len([agent.agent_id async for agent in mesh.registry.all_agents(request)]) == 2


async def test_errors_have_types_and_say_what_is_wrong(platform: Platform, kind: str, mesh: Any) -> None:
    with pytest.raises(NotFound) as missing:
        await mesh.registry.get_agent(messages.GetAgentRequest(agent_id="nobody"))
    assert (missing.value.reason, missing.value.request_id[:4]) == ("AGENT_NOT_FOUND", "req_")
    with pytest.raises(InvalidRequest) as invalid:
        await mesh.execution.execute_agent(messages.ExecuteAgentRequest(agent_id=AGENT))
    assert (invalid.value.reason, invalid.value.field) == ("VALIDATION_ERROR", "input")
    wrong = messages.ExecuteAgentRequest(agent_id=STRICT, input="Help", context=messages.struct({"audience": "robots"}))
    with pytest.raises(InvalidRequest):
        await mesh.execution.execute_agent(wrong)
    forged = client(kind, platform.stack.gateway_url, AccessToken("forged"))
    with pytest.raises(NotAuthenticated):
        await forged.auth.get_current_user(messages.GetCurrentUserRequest())
    await forged.close()


async def test_a_failure_that_may_have_cost_money_is_not_repeated(platform: Platform, mesh: Any) -> None:
    text = question()
    await platform.provider.fault("500", text)
    with pytest.raises(AgentFailed) as failed:
        await _execute(mesh, text)
    assert (failed.value.reason, failed.value.retryable) == ("LLM_API_ERROR", True)
    executions = await platform.sql("SELECT count(*) FROM executions WHERE input = $1", text)
    assert executions[0][0] == 1


async def test_an_answer_is_streamed_in_pieces(platform: Platform, mesh: Any) -> None:
    request = messages.StreamAgentRequest(agent_id=AGENT, input=question())
    events = [event async for event in mesh.execution.stream_agent(request)]
    assert events[0].WhichOneof("event") == "started"
    assert events[-1].WhichOneof("event") == "done"
    recorded = await platform.execution(events[0].started.execution_id)
    assert "".join(event.delta.text for event in events) == recorded["result"]


async def test_a_session_renews_its_tokens(platform: Platform, kind: str) -> None:
    """It logs in, continues from a refresh token, and logs in again when its tokens were revoked."""
    user = await new_user(platform)
    url, me = platform.stack.gateway_url, messages.GetCurrentUserRequest()
    first = Session(user.username, user.password)
    one = client(kind, url, first)
    assert (await one.auth.get_current_user(me)).user.username == user.username
    await one.auth.logout(messages.LogoutRequest())
    assert (await one.auth.get_current_user(me)).user.username == user.username
    await one.close()
    other = client(kind, url, Session(refresh_token=first.refresh_token))
    assert (await other.auth.get_current_user(me)).user.username == user.username
    await other.auth.logout(messages.LogoutRequest())
    with pytest.raises(NotAuthenticated):
        await other.auth.get_current_user(me)
    await other.close()
    nobody = client(kind, url, Session(new_name(), "a wrong password"))
    with pytest.raises(NotAuthenticated):
        await nobody.auth.get_current_user(me)
    await nobody.close()


async def test_events_are_watched_until_the_reader_stops(platform: Platform, relay: Relay, far: Any) -> None:
    """The watch continues after the last event when the connection breaks."""
    newest = messages.ListEventsRequest(page_size=1, order=messages.EVENT_ORDER_NEWEST_FIRST)
    position = (await far.event.list_events(newest)).events[0].position
    texts = [question(), question()]
    watch = far.event.watch_events(messages.WatchEventsRequest(after_position=position, event_type="agent.executed"))
    for text in texts:
        answer = await _execute(far, text)
        event = await asyncio.wait_for(anext(watch), 20)
        assert event.logged.data.fields["execution_id"].string_value == answer.execution_id
        relay.cut()


async def _execute(mesh: Any, text: str) -> Any:
    return await mesh.execution.execute_agent(messages.ExecuteAgentRequest(agent_id=AGENT, input=text))


async def test_the_examples_of_the_readme_run(platform: Platform) -> None:
    user = await new_user(platform)
    _, key = await new_key(platform, user)
    settings = {"URL": platform.stack.gateway_url, "API_KEY": key, "USERNAME": user.username, "PASSWORD": user.password}
    for program, last in (("python_client.py", "AGENT_NOT_FOUND req_"), ("python_client_async.py", "write ")):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(PROGRAMS / program)),
            env={**os.environ, **{f"AGENTMESH_{name}": value for name, value in settings.items()}},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        assert last in output.decode()
