"""Thousands of requests that a machine thinks up from gen/openapi.json, good and bad ones, through the gateway of a real platform.

Whatever comes in, what goes out is in the contract: a success of the described shape, or an envelope whose code and status are a row
of the error table. All components are well, so nothing may fail in the platform: no 5xx at all.
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
from tests.contract.gateway.wire import REQUEST_ID, events_of
from tests.e2e.books import check_books
from tests.e2e.definitions import AGENT
from tests.e2e.platform import Platform, question, running_platform

REQUESTS = 2_000
"""No fewer than these."""
EXAMPLES = 150
"""Of each kind for each operation; what has no parameters runs out of new requests earlier."""
SECONDS_OF_ONE = 30
ENVELOPE = "agentmesh.common.v1.ErrorEnvelope"
EVENT = "agentmesh.execution.v1.StreamAgentResponse"


@dataclass
class Tally:
    """What has been asked, and what was answered."""

    requests: int = 0
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By operation."""
    reasons: Counter[str] = field(default_factory=Counter)


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """A platform of our own, whose provider answers at once."""
    async with running_platform(tmp_path_factory.mktemp("random")) as platform:
        yield platform


@pytest.mark.timeout(600)
async def test_whatever_is_asked_the_answer_is_in_the_contract(platform: Platform) -> None:
    real_ids = {"agent_id": AGENT, "execution_id": (await platform.execute(question())).json()["execution_id"]}
    pids = {name: platform.stack.process(name).pid for name in ("envoy", "orchestrator", "agents-0")}
    tally = await asyncio.to_thread(_ask_everything, platform.stack.gateway_url, real_ids)
    print(f"\n{tally.requests} requests; {dict(sorted(tally.statuses.items()))}; {dict(tally.reasons)}")  # noqa: T201 (pytest -rP shows it)
    assert tally.requests >= REQUESTS
    for operation in {label for label, _ in tally.statuses}:
        assert tally.statuses[operation, 200] > 0, f"{operation} never succeeded: nothing was tried"
    assert {"VALIDATION_ERROR", "AGENT_NOT_FOUND", "EXECUTION_NOT_FOUND"} <= set(tally.reasons)
    assert {name: platform.stack.process(name).pid for name in pids} == pids
    assert "unexpected_error" not in platform.stack.state.log("orchestrator").read_text()
    assert await check_books(platform) > 0


def _ask_everything(url: str, real_ids: Mapping[str, str]) -> Tally:
    document = json.loads((GENERATED / "openapi.json").read_text())
    contract, tally = Contract(document), Tally()
    with requests.Session() as session:

        def send(case: Any) -> None:
            response = case.call(base_url=url, session=session, timeout=SECONDS_OF_ONE)
            tally.requests += 1
            tally.statuses[case.operation.label, response.status_code] += 1
            try:
                tally.reasons[contract.check(case, response)] += 1
            except Exception as wrong:
                wrong.add_note(f"{case.as_curl_command()}\n{response.status_code} {dict(response.headers)}\n{response.text[:1000]}")
                raise

        described: Any = schemathesis.openapi.from_dict(document)
        for found in described.get_all_operations():
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                _generate(found.ok(), mode, real_ids, send)
    return tally


def _generate(operation: Any, mode: GenerationMode, real_ids: Mapping[str, str], send: Callable[[Any], None]) -> None:
    """Sends one operation what fits its description, or what does not; half of it about things that exist.

    A request that brings a wrong answer is made small before it is shown.
    """

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), exists=strategies.booleans())
    def ask(case: Any, exists: bool) -> None:
        if exists:
            case.path_parameters.update({name: real for name, real in real_ids.items() if name in case.path_parameters})
        send(case)

    try:
        ask()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, f"no request fits {operation.label}"  # nothing that it takes can be wrong


class Contract:
    """What every answer must be."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._components = document["components"]
        self._envelope, self._event = self._schema(ENVELOPE), self._schema(EVENT)

    def check(self, case: Any, response: Any) -> str:
        """Fails unless the answer is as documented; returns the reason of an error, or `OK`."""
        assert response.status_code < 500, response.text
        (request_id,) = response.headers["x-request-id"]
        assert REQUEST_ID.fullmatch(request_id)
        if response.status_code != 200:
            return self._check_error(response, request_id)
        if case.operation.path.endswith("/stream"):
            self._check_events(response)
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

    def _check_events(self, response: Any) -> None:
        assert response.headers["content-type"] == ["text/event-stream"]
        events = events_of(response.content.decode())  # `text` would be Latin-1: the type names no charset, for events have but one
        for event in events:
            self._event.validate(event)
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
        assert "done" in events[-1]

    def _schema(self, name: str) -> jsonschema_rs.Draft202012Validator:
        return jsonschema_rs.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": self._components})
