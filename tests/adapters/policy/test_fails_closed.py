"""If the policy cannot decide, the call is denied soon, and the error says so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from mesh.security.caller import Caller
from orchestrator.adapters.policy.opa import OpaPolicy
from orchestrator.adapters.policy.regopy_engine import RegopyPolicy
from orchestrator.policy.errors import PolicyDenied
from orchestrator.policy.model import Action
from orchestrator.policy.ports import Policy
from orchestrator.policy.service import PolicyService
from tests.adapters.policy.cases import BOB, CLERK, OPEN, ROOT
from tests.adapters.policy.conftest import running_opa

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RecordedDenials:
    """A log of denials."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, str, str]] = []

    def denied(self, who: Caller, what: str, rule: str) -> None:
        self.entries.append((who.user_id, what, rule))

    def administered(self, who: Caller, what: str, owner_id: int) -> None:
        raise AssertionError("the policy changes no object")


async def refusal(policy: Policy) -> PolicyDenied:
    """The error of the most privileged caller."""
    with pytest.raises(PolicyDenied) as denied:
        await PolicyService(policy, RecordedDenials()).check(ROOT, Action.READ)
    return denied.value


@contextlib.asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[OpaPolicy]:
    """A policy whose OPA answers with this handler."""
    application = web.Application()
    application.router.add_post("/v1/data/agents/{rule}", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    try:
        async with OpaPolicy(f"http://127.0.0.1:{runner.addresses[0][1]}/") as policy:
            yield policy
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"not json", b"[]", b"null", b"true", b"{}"),
        *(b'{"result": 1}', b'{"result": "true"}', b'{"result": {"allow": true}}', b'{"result": [true]}', b'{"result": null}'),
    ],
)
async def test_only_exactly_true_allows(body: bytes) -> None:
    async def garbage(_: web.Request) -> web.Response:
        return web.Response(body=body)

    async with answering(garbage) as policy:
        with pytest.raises(PolicyDenied):
            await PolicyService(policy, RecordedDenials()).check(ROOT, Action.READ)


async def test_true_allows() -> None:
    async def yes(_: web.Request) -> web.Response:
        return web.Response(body=b'{"result": true}')

    async with answering(yes) as policy:
        await PolicyService(policy, RecordedDenials()).check(BOB, Action.READ)


@pytest.mark.parametrize("status", [204, 302, 400, 404, 500, 503])
async def test_an_error_of_opa_denies(status: int) -> None:
    async def failing(_: web.Request) -> web.Response:
        return web.Response(status=status, body=b'{"result": true}', headers={"location": "/v1/data/agents/allow"})

    async with answering(failing) as policy:
        assert (await refusal(policy)).details == {"cause": "policy_unavailable"}


async def test_an_opa_that_hangs_denies_after_a_timeout(opa: Path, policy_folder: Path) -> None:
    async with running_opa(opa, policy_folder) as server, OpaPolicy(server.url) as policy:
        service = PolicyService(policy, RecordedDenials())
        await service.check(ROOT, Action.READ)
        await server.stop()
        async with asyncio.timeout(5):
            assert (await refusal(policy)).details == {"cause": "policy_unavailable"}
        server.resume()
        await service.check(ROOT, Action.READ)


async def test_a_killed_opa_denies(opa: Path, policy_folder: Path) -> None:
    async with running_opa(opa, policy_folder) as server, OpaPolicy(server.url) as policy:
        await PolicyService(policy, RecordedDenials()).check(ROOT, Action.READ)
        server.process.kill()
        await server.process.wait()
        assert (await refusal(policy)).details == {"cause": "policy_unavailable"}


async def test_an_opa_without_the_policy_denies(opa: Path, tmp_path: Path) -> None:
    async with running_opa(opa, tmp_path) as server, OpaPolicy(server.url) as policy:
        assert (await refusal(policy)).details == {"cause": "policy_unavailable"}


async def test_an_undefined_rule_denies(tmp_path: Path) -> None:
    (tmp_path / "agents.rego").write_text("package agents\nimport rego.v1\nallow if input.action == 7\ndenial := {} if false\n")
    assert (await refusal(RegopyPolicy(tmp_path))).details == {"cause": "policy_unavailable"}


async def test_a_denial_names_its_rule_and_is_logged(policy_folder: Path) -> None:
    noted = RecordedDenials()
    service = PolicyService(RegopyPolicy(policy_folder), noted)
    await service.check(BOB, Action.EXECUTE, OPEN)
    with pytest.raises(PolicyDenied) as denied:
        await service.check(BOB, Action.EXECUTE, CLERK)
    assert denied.value.details == {"rule": "restricted_agent"}
    assert CLERK.agent_id in denied.value.message
    assert noted.entries == [(BOB.user_id, f"execute {CLERK.agent_id}", "restricted_agent")]
