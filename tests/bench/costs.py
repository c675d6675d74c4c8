"""`python -m tests.bench costs`: how much one user's expensive requests delay the calls of another.

For each rpc, an attacker with an account sends one expensive request after another: over REST, over gRPC through the gateway, and over
gRPC directly to the orchestrator. Meanwhile another user makes 300 agent calls over REST, whose p99 may rise by 50 ms. Limits are lifted.
Rounds without the attack alternate with it, because other programs on the machine disturb both; the smallest rise of a few rounds counts.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

import grpc
import httpx
from agentmesh.identity.v1 import identity_service_pb2 as identity
from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from deploy.local.lifted_limits import LIFTED
from deploy.local.programs import Provider
from deploy.local.stack import Stack
from gateway.envoy.contract import Rpc, public_rpcs
from gateway.envoy.render import GENERATED
from tests.bench.sides import AGENT, BODY, MESH_PROCESSES, provider
from tests.support.cpu import cost_of
from tests.support.credentials import bearer
from tests.support.expensive_json import expensive_bodies, largest_allowed_call
from tests.support.expensive_requests import expensive_requests
from tests.support.ports import free_port_offset

CONTRACT = GENERATED / "descriptor.binpb"
CALLS = 300
MOST_ADDED_MS = 50
PASSWORD = "a long enough password of the bench"
PATIENCE_SECONDS = 30
Send = Callable[[bytes], Awaitable[None]]


@dataclass
class Attack:
    """Expensive requests of one rpc through one entry point."""

    name: str
    send: Send
    bodies: Sequence[tuple[str, bytes]]
    slowest: dict[str, float] = field(default_factory=dict)
    sent: int = 0

    async def run(self) -> None:
        """Send one after another until cancelled."""
        for shape, body in cycle(self.bodies):
            began = perf_counter()
            await self.send(body)
            self.slowest[shape] = max(self.slowest.get(shape, 0), perf_counter() - began)
            self.sent += 1


@dataclass(frozen=True)
class Bench:
    """The running stack, its users, and their clients."""

    victim: httpx.AsyncClient
    attacker: httpx.AsyncClient
    channels: dict[str, grpc.aio.Channel]
    token: str
    pids: Mapping[str, int]
    """The processes that other users' calls pass through."""

    async def p99_ms(self) -> float:
        """The p99 of calls that the other user makes one after another, in milliseconds."""
        took = []
        for _ in range(CALLS):
            began = perf_counter()
            (await self.victim.post(f"/api/v1/agents/{AGENT}/execute", content=BODY)).raise_for_status()
            took.append(perf_counter() - began)
        return sorted(took)[int(CALLS * 0.99) - 1] * 1000

    def attacks(self, only: str) -> Iterator[Attack]:
        """The attacks for every rpc and entry point whose name contains `only`."""
        for rpc in public_rpcs(CONTRACT):
            request = _contract().FindServiceByName(rpc.service).methods_by_name[rpc.name].input_type
            posts = [binding for binding in rpc.bindings if binding.method in ("POST", "PATCH")]
            if posts and only in (name := f"REST {rpc.name}"):
                bodies = list(expensive_bodies(request))
                yield Attack(name, self._rest(posts[0].method, posts[0].template), bodies)
                if rpc.is_agent_call:
                    yield Attack(f"{name}, largest allowed", self._rest("POST", posts[0].template), [("allowed", largest_allowed_call())])
            for door, channel in self.channels.items():
                if only in (name := f"gRPC {door} {rpc.name}"):
                    yield Attack(name, self._grpc(channel, rpc), list(expensive_requests(request)))

    def _rest(self, method: str, template: str) -> Send:
        path = template.replace("{agent_id}", AGENT)

        async def send(body: bytes) -> None:
            with contextlib.suppress(httpx.TransportError):  # refused before the body was sent
                answer = await self.attacker.request(method, path, content=body)
                assert answer.status_code != 500, answer.text

        return send

    def _grpc(self, channel: grpc.aio.Channel, rpc: Rpc) -> Send:
        metadata = (("authorization", f"Bearer {self.token}"),)
        unary: Any = channel.unary_unary(rpc.path)
        stream: Any = channel.unary_stream(rpc.path)

        async def send(body: bytes) -> None:
            with contextlib.suppress(grpc.aio.AioRpcError):
                if rpc.streams:
                    await stream(body, metadata=metadata, timeout=PATIENCE_SECONDS).read()
                else:
                    await unary(body, metadata=metadata, timeout=PATIENCE_SECONDS)

        return send


async def main(only: str, rounds: int) -> int:
    """Print the dearest shapes of each rpc and entry point, and the rise unless `rounds` is 0. Exits with 1 if a rise exceeds the limit."""
    over = 0
    with tempfile.TemporaryDirectory(prefix="agentmesh-bench-") as folder:
        async with provider() as (url, _), platform(Path(folder), url) as bench:
            await bench.p99_ms()
            for attack in bench.attacks(only):
                print(f"{attack.name}: {len(attack.bodies)} shapes; the dearest: {await _dearest(bench, attack)}", flush=True)
                over += bool(rounds) and not await _measure(bench, attack, rounds)
    print(f"{over} over {MOST_ADDED_MS} ms")
    return 1 if over else 0


async def _dearest(bench: Bench, attack: Attack) -> str:
    costs = [(*await cost_of(partial(attack.send, body), bench.pids), shape) for shape, body in attack.bodies]
    costs.sort(reverse=True)
    return ", ".join(f"{shape} {ms:.0f} ms of {process}" for ms, process, shape in costs[:3])


async def _measure(bench: Bench, attack: Attack, rounds: int) -> bool:
    risen: list[float] = []
    alone: list[float] = []
    for _ in range(rounds):
        alone.append(await bench.p99_ms())
        attacking = asyncio.create_task(attack.run())
        risen.append(await bench.p99_ms() - alone[-1])
        if attacking.done():
            attacking.result()
        attacking.cancel()
        if risen[-1] <= MOST_ADDED_MS:
            break
    shape, slowest = max(attack.slowest.items(), key=lambda item: item[1], default=("none answered", 0.0))
    print(
        f"{attack.name}: p99 {min(alone):.0f} ms alone, {', '.join(f'{one:+.0f}' for one in risen)} ms; {attack.sent} requests of "
        f"{len(attack.bodies)} shapes, the slowest {slowest * 1000:.0f} ms ({shape})",
        flush=True,
    )
    return min(risen) <= MOST_ADDED_MS


@contextlib.asynccontextmanager
async def platform(folder: Path, provider_url: str) -> AsyncIterator[Bench]:
    """The whole local stack with two users."""
    real = Provider(name="anthropic", api_key="bench", base_url=provider_url)
    with free_port_offset() as offset:
        async with contextlib.AsyncExitStack() as opened:
            stack = await opened.enter_async_context(Stack(folder, offset, environment=LIFTED, provider=real))
            doors = {"by the gateway": f"localhost:{stack.ports.gateway}", "direct": stack.orchestrator_target}
            channels = {
                name: await opened.enter_async_context(grpc.aio.insecure_channel(target, (("grpc.max_send_message_length", -1),)))
                for name, target in doors.items()
            }
            token = await _login(channels["direct"])
            victim, attacker = [
                await opened.enter_async_context(
                    httpx.AsyncClient(base_url=stack.gateway_url, headers={**bearer(one), "content-type": "application/json"}, timeout=60)
                )
                for one in (stack.credentials.token, token)
            ]
            pids = {name: stack.process(name).pid for name in MESH_PROCESSES}
            yield Bench(victim, attacker, channels, token, pids)


async def _login(channel: grpc.aio.Channel) -> str:
    auth: Any = AuthServiceStub(channel)
    await auth.Register(identity.RegisterRequest(username="attacker", password=PASSWORD))
    return str((await auth.Login(identity.LoginRequest(username="attacker", password=PASSWORD))).access_token)


@cache
def _contract() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in FileDescriptorSet.FromString(CONTRACT.read_bytes()).file:
        pool.Add(file)
    return pool
