"""A new rpc gets the timeout, errors and limit for the kind that its contract declares; no part of the gateway refers to rpcs by name."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from agentmesh.health.v1.health_service_pb2 import GetHealthRequest, GetHealthResponse

from deploy.local.supervision.waiting import holds_within
from gateway.envoy.render import GatewaySettings, render_bootstrap
from mesh.rpc.interceptors.chain import chain
from mesh.rpc.serving.server import Health, build_server
from mesh.rpc.status import error_of as error_of_status
from tests.contract.gateway.relay import Relay
from tests.contract.gateway.running import Gateway, lone_gateway
from tests.contract.gateway.wire import error_of
from tests.support import made_up

BURST = 3
CODECS: Any = {"request_deserializer": GetHealthRequest.FromString, "response_serializer": GetHealthResponse.SerializeToString}


class Oracle:
    """Serves the made-up rpcs; while `silent`, it never answers."""

    def __init__(self) -> None:
        self.silent = False
        self.begun = asyncio.Event()
        self.calls = 0

    async def unary(self, request: Any, context: Any) -> GetHealthResponse:
        self.calls += 1
        self.begun.set()
        if self.silent:
            await asyncio.Event().wait()
        return GetHealthResponse(status="ok")

    async def stream(self, request: Any, context: Any) -> AsyncIterator[GetHealthResponse]:
        yield await self.unary(request, context)

    def handler(self) -> grpc.GenericRpcHandler:
        names = (made_up.PAID, made_up.PAID_READ, made_up.LOGIN, made_up.PROBE, made_up.PLAIN)
        handlers = {path.rpartition("/")[2]: grpc.unary_unary_rpc_method_handler(self.unary, **CODECS) for path in names}
        handlers[made_up.PAID_STREAM.rpartition("/")[2]] = grpc.unary_stream_rpc_method_handler(self.stream, **CODECS)
        return grpc.method_handlers_generic_handler(made_up.SERVICE, handlers)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Gateway, Oracle, Relay]]:
    """A gateway whose contract contains the service, in front of a server that serves it."""
    made_up.register()
    oracle, relay = Oracle(), Relay()
    server = build_server(chain())
    server.add_generic_rpc_handlers((oracle.handler(),))
    await Health(server).set("", serving=True)
    relay.target = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await relay.accept()
    contract = made_up.contract_with_it(tmp_path)
    limits = {"per_ip_login_rate": 1, "per_ip_login_burst": BURST}
    async with lone_gateway(tmp_path, relay.port, descriptor_path=contract, **limits) as gateway:

        async def answers() -> bool:
            return (await gateway.http.get("/knock")).status_code == 200

        assert await holds_within(10, answers)
        yield gateway, oracle, relay
    await relay.refuse()
    await server.stop(None)


async def _lost(served: tuple[Gateway, Oracle, Relay], call: Any) -> Any:
    """The outcome of a call whose connection breaks while the server works on it."""
    _, oracle, relay = served
    oracle.silent = True
    oracle.begun.clear()
    task = asyncio.ensure_future(call)
    async with asyncio.timeout(10):
        await oracle.begun.wait()
        relay.cut()
        return (await asyncio.gather(task, return_exceptions=True))[0]


def test_the_kind_decides_timeout_and_retries(tmp_path: Path) -> None:
    config = yaml.safe_load(render_bootstrap(GatewaySettings(descriptor_path=made_up.contract_with_it(tmp_path))))
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][-1]["typed_config"]
    routes = {
        route["match"].get("path"): route["route"] for route in manager["route_config"]["virtual_hosts"][0]["routes"] if "route" in route
    }
    assert {path: routes[path]["timeout"] for path in (made_up.PAID, made_up.PAID_READ, made_up.PLAIN, made_up.LOGIN)} == {
        made_up.PAID: "620s",
        made_up.PAID_READ: "620s",
        made_up.PLAIN: "30s",
        made_up.LOGIN: "30s",
    }
    assert routes[made_up.PAID_STREAM]["timeout"] == "0s"
    retried = [path for path in routes if path and path.startswith("/agentmesh.made_up") and "retry_policy" in routes[path]]
    assert retried == [made_up.PROBE]  # a paid call is never retried, not even one that is bound to GET


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/v1/oracle/x"), ("POST", "/api/v1/oracle/x/listen"), ("GET", "/api/v1/oracle/x")]
)
async def test_a_paid_call_lost_in_flight_may_have_been_charged(served: tuple[Gateway, Oracle, Relay], method: str, path: str) -> None:
    error = error_of(
        await _lost(served, served[0].http.request(method, path, json={} if method == "POST" else None)), 500, "AGENT_EXECUTION_FAILED"
    )
    assert error["details"]["outcome"] == "unknown"


async def test_an_unpaid_call_lost_in_flight_is_internal(served: tuple[Gateway, Oracle, Relay]) -> None:
    error_of(await _lost(served, served[0].http.patch("/api/v1/oracle/x", json={})), 500, "INTERNAL")


async def test_a_native_paid_call_lost_in_flight_may_have_been_charged(served: tuple[Gateway, Oracle, Relay]) -> None:
    rpc: Any = served[0].channel.unary_unary(made_up.PAID)
    known = error_of_status(await _lost(served, rpc(b"", timeout=20)))
    assert known is not None
    assert (known.reason, known.details["outcome"]) == ("AGENT_EXECUTION_FAILED", "unknown")


async def test_rest_and_grpc_logins_share_one_bucket(served: tuple[Gateway, Oracle, Relay]) -> None:
    gateway = served[0]
    rpc: Any = gateway.channel.unary_unary(made_up.LOGIN)
    for _ in range(BURST):
        assert (await gateway.http.post("/api/v1/enter", json={})).status_code == 200
    outcomes = await asyncio.gather(*(rpc(b"", timeout=10) for _ in range(10)), return_exceptions=True)
    refused = [known.reason for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError) and (known := error_of_status(outcome))]
    assert set(refused) == {"RATE_LIMIT_EXCEEDED"}
    assert (await gateway.http.patch("/api/v1/oracle/x", json={})).status_code == 200
