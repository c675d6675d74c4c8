"""Thousands of generated requests from gen/openapi.json, valid and invalid ones, through the gateway of a real platform.

Every response must match the contract: a success of the described form, or an envelope whose code and status are a row of the error
table. Every component is up, so nothing may fail inside the platform: no 5xx is allowed.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from gateway.envoy.render import GENERATED
from mesh.rpc.status import TABLE
from tests.conftest import ReportFigures
from tests.contract.existing import Existing, make_answerable, make_runnable
from tests.contract.gateway.wire import REQUEST_ID, events_of
from tests.e2e.books import check_books
from tests.e2e.definitions import AGENT
from tests.e2e.identity import contract_rpcs
from tests.e2e.identity.contract_rpcs import every_rpc
from tests.e2e.platform import Platform, question, running_platform
from tests.e2e.users import new_user
from tests.e2e.workflows import Workflows, task
from tests.support.credentials import bearer

REQUESTS = 2_000
"""The minimum number of requests."""
EXAMPLES = 30
"""Requests of each kind for each operation; an operation without parameters has fewer distinct ones."""
FEW_EXAMPLES = 15
"""The same, for operations that hash passwords and those beside them."""
SECONDS_OF_ONE = 30
ENVELOPE = "agentmesh.common.v1.ErrorEnvelope"
EVENTS = {
    "/api/v1/agents/{agent_id}/stream": "agentmesh.execution.v1.StreamAgentResponse",
    "/api/v1/runs/{run_id}/watch": "agentmesh.workflow.v1.WatchRunResponse",
}
"""The media type of streams."""
ENDLESS = {"/api/v1/events/watch"}
"""Streams that never end, so that no response could be checked completely."""
CREDENTIALS_NEEDED = {"POST /api/v1/auth/login", "POST /api/v1/auth/refresh", "POST /api/v1/auth/logout", "POST /api/v1/auth/password"}
"""No generated request contains a valid password or token."""
NOT_SERVED_YET = {
    (binding.method, binding.template) for rpc in every_rpc() if rpc.name in contract_rpcs.NOT_SERVED_YET for binding in rpc.rest.bindings
}
"""Not implemented yet: these answer NOT_IMPLEMENTED, a 5xx."""


@dataclass
class Summary:
    """The requests sent and the responses received."""

    requests: int = 0
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By operation and status."""
    reasons: Counter[str] = field(default_factory=Counter)


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """A platform for these tests, whose provider answers at once."""
    async with running_platform(tmp_path_factory.mktemp("random")) as platform:
        yield platform


@pytest.mark.timeout(600)
async def test_every_response_to_generated_requests_matches_the_contract(platform: Platform, report_figures: ReportFigures) -> None:
    workflows = Workflows(platform)
    run = await workflows.completed(task("plan"))
    real_ids = {
        "agent_id": AGENT,
        "execution_id": (await platform.execute(question())).json()["execution_id"],
        "workflow_id": run["workflow_id"],
        "run_id": run["run_id"],
        "step_id": "plan",
        "user_id": str((await new_user(platform)).user_id),
    }
    pids = {name: platform.stack.process(name).pid for name in ("envoy", "orchestrator", "agents-0")}
    summary = await asyncio.to_thread(_ask_everything, platform.stack.gateway_url, platform.stack.credentials.token, real_ids)
    report_figures(f"{summary.requests} random requests; {dict(sorted(summary.statuses.items()))}; {dict(summary.reasons)}")
    assert summary.requests >= REQUESTS
    for operation in {label for label, _ in summary.statuses} - CREDENTIALS_NEEDED:
        assert summary.statuses[operation, 200] > 0, f"{operation} never succeeded, so its success was not checked"
    assert {"VALIDATION_ERROR", "AGENT_NOT_FOUND", "EXECUTION_NOT_FOUND", "WORKFLOW_NOT_FOUND", "RUN_NOT_FOUND"} <= set(summary.reasons)
    assert {name: platform.stack.process(name).pid for name in pids} == pids
    assert "unexpected_error" not in platform.stack.state.log("orchestrator").read_text()
    assert await check_books(platform) > 0


def _ask_everything(url: str, token: str, real_ids: Mapping[str, str]) -> Summary:
    document = json.loads((GENERATED / "openapi.json").read_text())
    contract, summary = Contract(document), Summary()
    with requests.Session() as session:
        session.headers.update(bearer(token))
        existing = Existing(session, url, real_ids)

        def send(case: Any) -> None:
            response = case.call(base_url=url, session=session, headers=bearer(token), timeout=SECONDS_OF_ONE)
            summary.requests += 1
            summary.statuses[case.operation.label, response.status_code] += 1
            try:
                summary.reasons[contract.check(case, response)] += 1
            except Exception as wrong:
                wrong.add_note(f"{case.as_curl_command()}\n{response.status_code} {dict(response.headers)}\n{response.text[:1000]}")
                raise

        described: Any = schemathesis.openapi.from_dict(document)
        for operation in (found.ok() for found in described.get_all_operations()):
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                if operation.path not in ENDLESS and (operation.method.upper(), operation.path) not in NOT_SERVED_YET:
                    _generate(operation, mode, existing, send)
    return summary


def _generate(operation: Any, mode: GenerationMode, existing: Existing, send: Callable[[Any], None]) -> None:
    """Send valid or invalid requests of one operation, half of them about existing objects.

    A request with a wrong response is minimized before it is reported.
    """

    @settings(
        max_examples=FEW_EXAMPLES if "/auth/" in operation.path or operation.path == "/api/v1/users" else EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), exists=strategies.booleans())
    def ask(case: Any, exists: bool) -> None:
        if exists:
            ids = existing.ids(operation.label) if case.path_parameters else {}
            case.path_parameters.update({name: real for name, real in ids.items() if name in case.path_parameters})
            make_runnable(case.body)
            make_answerable(case.query)
        send(case)

    try:
        ask()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, f"no request fits {operation.label}"  # it has no field that could be invalid


class Contract:
    """The rules for every response."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._components = document["components"]
        self._envelope = self._schema(ENVELOPE)
        self._events = {path: self._schema(name) for path, name in EVENTS.items()}

    def check(self, case: Any, response: Any) -> str:
        """Raise AssertionError unless the response matches the contract; returns the reason of an error, or `OK`."""
        assert response.status_code < 500, response.text
        (request_id,) = response.headers["x-request-id"]
        assert REQUEST_ID.fullmatch(request_id)
        if response.status_code != 200:
            return self._check_error(response, request_id)
        if (event := self._events.get(case.operation.path)) is not None:
            self._check_events(response, event)
        else:
            case.operation.validate_response(response)
        return "OK"

    def _check_error(self, response: Any, request_id: str) -> str:
        assert response.headers["content-type"] == ["application/json"]
        envelope = response.json()
        self._envelope.validate(envelope)
        error = envelope["error"]
        assert (TABLE[error["code"]].http_status, error["request_id"]) == (response.status_code, request_id)
        return str(error["code"])

    def _check_events(self, response: Any, schema: jsonschema_rs.Draft202012Validator) -> None:
        assert response.headers["content-type"] == ["text/event-stream; charset=utf-8"]
        events = events_of(
            response.content.decode()
        )  # `text` would be Latin-1: the type has no charset, because events have only one encoding
        for event in events:
            schema.validate(event)
        # The end of a watch repeats the last change; a watch may start after any change, including the last.
        sequences = [event["sequence"] for event in events if not ("done" in event and "status" in event["done"])]
        assert sequences == list(range(events[0]["sequence"], events[0]["sequence"] + len(sequences)))
        assert "done" in events[-1]

    def _schema(self, name: str) -> jsonschema_rs.Draft202012Validator:
        return jsonschema_rs.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": self._components})
