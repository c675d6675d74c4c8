"""`python -m tests.bench interceptors`: the time to authenticate, count and authorize a caller.

Each interceptor is called as gRPC calls it, one call after the other, and wired as in the orchestrator: with the real Redis and
PostgreSQL of a running stack, and the policy in process. The sum of the medians should stay under a millisecond.
"""

import asyncio
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
from agentmesh.execution.v1 import execution_service_pb2
from redis.asyncio import Redis

from deploy.local.lifted_limits import LIFTED
from deploy.local.stack import Stack
from mesh.rpc.interceptors.authentication import Authentication
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Stream, Unary
from mesh.rpc.peer import Peers
from mesh.security import caller
from mesh.tasks import BackgroundTasks
from orchestrator.adapters.policy.denial_log import PostgresDenialLog
from orchestrator.adapters.postgres.engine import create_engine
from orchestrator.composition.identity import build_identity
from orchestrator.composition.limits import build_failed_credentials, build_limits
from orchestrator.composition.policy import build_policy
from orchestrator.composition.settings import OrchestratorSettings
from orchestrator.policy.model import Action, PolicyAgent
from orchestrator.policy.service import PolicyService
from tests.bench.sides import AGENT
from tests.support.call_tokens import PRIVATE_KEY
from tests.support.ports import free_port_offset

EXECUTE = f"/{execution_service_pb2.DESCRIPTOR.services_by_name['ExecutionService'].full_name}/ExecuteAgent"
WARM_UP = 200


class Context:
    """The part of a servicer context that the interceptors read."""

    def __init__(self, token: str) -> None:
        self._metadata = (("user-agent", "bench"), ("authorization", f"Bearer {token}"))

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata of the caller."""
        return self._metadata

    def peer(self) -> str:
        """The address of the caller."""
        return "ipv4:127.0.0.1:50000"


async def main(calls: int) -> None:
    """Measure an API key and an access token, and print the figures."""
    async with AsyncExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="agentmesh-bench-")))
        offset = exits.enter_context(free_port_offset())
        stack = await exits.enter_async_context(Stack(folder, offset))
        gates = await built(stack, exits)
        for credential, token in {"API key": stack.credentials.token, "access token": await logged_in(stack)}.items():
            medians = {name: await median_ms(gate, Context(token), calls) for name, gate in gates.items()}
            print(f"{credential:>13}   {', '.join(f'{name} {ms:.3f}' for name, ms in medians.items())}; sum {sum(medians.values()):.3f} ms")


class AgentPolicy(BehaviourInterceptor):
    """The policy check of the execution service, in the form of an interceptor."""

    def __init__(self, policy: PolicyService) -> None:
        super().__init__()
        self._policy = policy

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        """Check one agent, then call."""
        agent = PolicyAgent(AGENT, "marketing", "seo_strategist")

        async def asked(request: Any, context: Any) -> Any:
            await self._policy.check(caller.current(), Action.EXECUTE, agent)
            return await behaviour(request, context)

        return asked

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        """Streams are not measured."""
        return behaviour


async def built(stack: Stack, exits: AsyncExitStack) -> dict[str, BehaviourInterceptor]:
    """The three interceptors of the orchestrator, in their order."""
    lifted: dict[str, Any] = {name.lower(): value for name, value in LIFTED.items()}
    settings = OrchestratorSettings(
        database_url=stack.database_url,
        redis_url=stack.redis_url,
        jwt_secret=stack.credentials.jwt_secret(),
        call_token_private_key=PRIVATE_KEY,
        **lifted,
    )
    tasks = BackgroundTasks()
    engine = create_engine(settings.database_url, settings.db_pool_size, settings.db_max_overflow)
    exits.push_async_callback(engine.dispose)
    redis = Redis.from_url(settings.redis_url)
    exits.push_async_callback(redis.aclose)
    denials = await exits.enter_async_context(PostgresDenialLog(engine, tasks))
    policy = await build_policy(settings, exits, denials)
    authenticator, sessions, _ = build_identity(settings, exits, tasks, engine, redis, policy)
    return {
        "authentication": Authentication(authenticator, build_failed_credentials(settings), Peers(settings.gateway_secrets)),
        "limits": await build_limits(settings, exits, tasks, sessions),
        "policy": AgentPolicy(policy),
    }


async def median_ms(gate: BehaviourInterceptor, context: Any, calls: int) -> float:
    """The median time that a call spends in this interceptor alone, in milliseconds."""

    async def passed(request: Any, context: Any) -> Any:
        return request

    behaviour = gate.around_unary(EXECUTE, passed)
    seconds = []
    for _ in range(WARM_UP + calls):
        began = time.perf_counter()
        await behaviour(None, context)
        seconds.append(time.perf_counter() - began)
        await asyncio.sleep(0)  # let other tasks of this loop run, as in the orchestrator
    return statistics.median(seconds[WARM_UP:]) * 1000


async def logged_in(stack: Stack) -> str:
    """The access token of a new user."""
    login = {"username": "bench", "password": "a password for nobody"}
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=30) as http:
        (await http.post("/api/v1/auth/register", json=login)).raise_for_status()
        answer = (await http.post("/api/v1/auth/login", json=login)).raise_for_status()
    return str(answer.json()["access_token"])
