"""Who gets in while the platform is overloaded: first the callers whose credential it has accepted within the last minute."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from agentmesh.registry.v1 import registry_service_pb2 as registry
from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

from mesh.errors import NotImplementedHere
from mesh.limits.admission import Admission
from mesh.rpc.interceptors.admission import AdmissionControl
from mesh.rpc.interceptors.authentication import Authentication
from mesh.rpc.interceptors.failed_credentials import FailedCredentials
from mesh.rpc.peer import Peers
from mesh.rpc.status import error_of as error_of_status
from mesh.security.caller import Caller
from mesh.security.errors import InvalidCredentials
from orchestrator.adapters.limits.local import LocalLimits
from tests.contract.gateway.backend import AGENT_ID, Backend
from tests.contract.gateway.running import Gateway, running_gateway
from tests.contract.gateway.test_connections import refusals
from tests.contract.gateway.wire import error_of
from tests.support.waiting import eventually

AGENTS = "/api/v1/agents"
KNOWN_CALLERS = 20
"""How many the gateway of these tests remembers."""
TOKENS = int(os.environ.get("MADE_UP_TOKENS", "1000"))
MADE_UP = [f"made-up-{number}" for number in range(400)]


class Users:
    """Accepts tokens and API keys that begin with `good`."""

    async def authenticate(self, credential: str) -> Caller:
        if not credential.removeprefix("amk_").startswith("good"):
            raise InvalidCredentials("unknown access token")
        return Caller(1, "ada")


class Room(Admission):
    """Room for every call until `full`, and then only for known callers, or for none."""

    full = full_for_known = False

    def admits(self) -> bool:
        return not self.full

    def admits_known(self) -> bool:
        return not self.full_for_known


class Busy(Backend):
    """An orchestrator with authentication and admission control."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Room()

    async def open(self) -> None:
        authentication = Authentication(Users(), FailedCredentials(LocalLimits(), 1_000_000_000), Peers([]))
        await self.start(checks=[authentication], admission=AdmissionControl(self.room, "orchestrator", authentication.knows))


@pytest.fixture
async def busy() -> AsyncIterator[Busy]:
    backend = Busy()
    await backend.open()
    yield backend
    await backend.stop()


@pytest.fixture
async def gateway(busy: Busy, tmp_path: Path) -> AsyncIterator[Gateway]:
    limits: dict[str, Any] = {"known_callers": KNOWN_CALLERS, "per_ip_rate": 1_000_000, "per_ip_burst": 1_000_000}
    async with running_gateway(tmp_path, busy.port, **limits) as gateway:
        yield gateway


async def call(gateway: Gateway, token: str) -> httpx.Response:
    return await gateway.http.get(AGENTS, headers={"authorization": f"Bearer {token}"})


async def statuses(gateway: Gateway, tokens: Sequence[str]) -> list[int]:
    """The statuses of calls with these tokens, one after another on one connection, without the cost of an HTTP library."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    found = []
    for token in tokens:
        writer.write(f"GET {AGENTS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", head)
        assert length, head
        await reader.readexactly(int(length[1]))
        found.append(int(head.split()[1]))
        if b"connection: close" in head:
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.close()
    return found


async def among(gateway: Gateway, strangers: Sequence[str], honest: str) -> tuple[list[int], list[int]]:
    """The statuses of an honest caller's calls during those of strangers, and of the strangers' calls."""
    flood, answers = asyncio.create_task(statuses(gateway, strangers)), []
    while not flood.done():
        answers.append((await call(gateway, honest)).status_code)
    return answers, await flood


async def test_known_callers_get_in_and_others_are_told_why_not(gateway: Gateway, busy: Busy) -> None:
    first = await call(gateway, "good")
    assert not [name for name in first.headers if name.startswith("x-mesh")]
    busy.room.full = True
    honest, strangers = await among(gateway, MADE_UP, "good")
    assert set(honest) == {200}
    assert set(strangers) == {429, 503}  # of the gateway, and of the orchestrator
    assert strangers.count(429) > len(strangers) / 2
    stranger = await call(gateway, MADE_UP[0])
    while stranger.status_code != 429:
        stranger = await call(gateway, MADE_UP[0])
    details = error_of(stranger, 429, "RATE_LIMIT_EXCEEDED")["details"]
    assert (details["limit"], details["retry_after_seconds"]) == ("calls_of_unknown_callers", 1)

    async def all_counted() -> bool:
        return (await refusals(gateway))['{limit="calls_of_unknown_callers",caller="everyone"}'] > strangers.count(429)

    await eventually(all_counted)


async def test_refusals_of_known_callers_are_counted(gateway: Gateway, busy: Busy) -> None:
    await call(gateway, "good")
    busy.room.full = busy.room.full_for_known = True
    assert set(await statuses(gateway, ["good"] * 200)) == {503}  # of the orchestrator, and then of the gateway

    async def counted() -> bool:
        return (await refusals(gateway)).get('{limit="calls_in_overload",caller="everyone"}', 0) > 100

    await eventually(counted)


async def test_native_callers_get_the_same_refusal(gateway: Gateway, busy: Busy) -> None:
    busy.room.full = True
    await statuses(gateway, MADE_UP)
    stub = RegistryServiceStub(gateway.channel)
    seen: set[tuple[str, Any, grpc.StatusCode]] = set()
    while len(seen) < 2:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListAgents(registry.ListAgentsRequest(), metadata=(("authorization", "Bearer made-up"),), timeout=10)
        error = error_of_status(refused.value)
        assert error is not None
        seen.add((error.reason, error.details.get("limit"), refused.value.code()))
    assert ("RATE_LIMIT_EXCEEDED", "calls_of_unknown_callers", grpc.StatusCode.RESOURCE_EXHAUSTED) in seen


async def test_many_made_up_tokens_gain_nothing_and_displace_nobody(gateway: Gateway, busy: Busy) -> None:
    await call(gateway, "good")
    tokens = [f"made-up-{number}" for number in range(TOKENS)]
    answers = await asyncio.gather(*(statuses(gateway, tokens[part::4]) for part in range(4)))
    assert {status for part in answers for status in part} == {401}
    busy.room.full = True
    honest, strangers = await among(gateway, tokens[-400:], "good")
    assert set(honest) == {200}
    assert set(strangers) == {429, 503}
    assert strangers.count(429) > len(strangers) / 2


async def test_the_gateway_remembers_a_bounded_number_of_callers(gateway: Gateway, busy: Busy) -> None:
    tokens = [f"good-{number}" for number in range(5 * KNOWN_CALLERS)]
    assert set(await statuses(gateway, tokens)) == {200}
    latest, forgotten = tokens[-KNOWN_CALLERS // 2 :], tokens[: 2 * KNOWN_CALLERS]
    busy.room.full = True
    await statuses(gateway, MADE_UP)
    assert set(await statuses(gateway, latest)) == {200}
    mixed = await statuses(
        gateway, [token for number, one in enumerate(forgotten) for token in (one, *MADE_UP[9 * number : 9 * number + 9])]
    )
    assert mixed[::10].count(429) > len(forgotten) / 2


async def test_a_stream_makes_its_caller_known_and_its_errors_keep_their_status(gateway: Gateway, busy: Busy) -> None:
    async def fails(request: Any, context: Any) -> AsyncIterator[Any]:
        raise NotImplementedHere("not here")
        yield

    stream, ask = f"{AGENTS}/{AGENT_ID}/stream", {"input": "x"}
    busy.script.events = fails
    error_of(await gateway.http.post(stream, json=ask, headers={"authorization": "Bearer good"}), 501, "NOT_IMPLEMENTED")
    busy.script.events = None
    answer = await gateway.http.post(stream, json=ask, headers={"authorization": "Bearer good"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert not [name for name in answer.headers if name.startswith("x-mesh")]
    busy.room.full = True
    honest, _ = await among(gateway, MADE_UP, "good")
    assert set(honest) == {200}


async def test_api_keys_are_credentials_too(gateway: Gateway, busy: Busy) -> None:
    key = {"x-api-key": "amk_good"}
    assert (await gateway.http.get(AGENTS, headers=key)).status_code == 200
    busy.room.full = True
    for _ in range(5):
        await statuses(gateway, MADE_UP[:100])
        assert (await gateway.http.get(AGENTS, headers=key)).status_code == 200
