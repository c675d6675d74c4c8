"""Applies the limits: by user and API key, and by address where no credential is needed. Refuses sessions that have ended."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from mesh.limits.limiter import CallerKind, Charge, Limiter, Sessions, network_of, refusal
from mesh.rpc.access import Access, RpcKind, access_of
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary
from mesh.rpc.peer import Peers
from mesh.security import caller
from mesh.security.caller import Caller
from mesh.security.errors import TokenRevoked

IN_FLIGHT = "agent_calls_in_flight"


@dataclass(frozen=True, slots=True)
class Allowances:
    """The limits: calls a minute (a full bucket allows as many at once); `in_flight` counts open calls per process."""

    agent_calls: int = 600
    agent_calls_of_key: int = 600
    agent_calls_in_flight: int = 50
    other_calls: int = 6_000
    open_calls_of_address: int = 600
    logins: int = 10
    logins_of_address: int = 120


class InFlight:
    """The number of calls in flight in this process, by user."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_user: dict[int, int] = {}

    @contextmanager
    def counted(self, user_id: int) -> Iterator[None]:
        """Counts a call while the block runs. Raises RateLimitExceeded if the user has too many."""
        before = self._by_user.get(user_id, 0)
        if before >= self._most:
            raise refusal(IN_FLIGHT, CallerKind.USER, f"{self._most} at once", 1)
        self._by_user[user_id] = before + 1
        try:
            yield
        finally:
            if (left := self._by_user[user_id] - 1) > 0:
                self._by_user[user_id] = left
            else:
                del self._by_user[user_id]


class Limits(BehaviourInterceptor):
    """Refuses calls beyond a limit with RATE_LIMIT_EXCEEDED, and callers whose session has ended with AUTH_TOKEN_BLACKLISTED.

    The limiter answers both at once. Probes and rpcs inside the mesh are not counted.
    """

    def __init__(self, limiter: Limiter, sessions: Sessions, allowances: Allowances, peers: Peers) -> None:
        super().__init__()
        self._limiter = limiter
        self._sessions = sessions
        self._allowances = allowances
        self._peers = peers
        self._in_flight = InFlight(allowances.agent_calls_in_flight)

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        access = access_of(method)
        if access.mesh or access.kind is RpcKind.PROBE:
            return behaviour

        async def counted(request: Any, context: Context) -> Message:
            await self._admit(access, request, context)
            return await behaviour(request, context)

        async def counted_in_flight(request: Any, context: Context) -> Message:
            with self._in_flight.counted(caller.current().user_id):
                return await counted(request, context)

        return counted_in_flight if access.kind is RpcKind.AGENT_CALL else counted

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        access = access_of(method)
        if access.mesh or access.kind is RpcKind.PROBE:
            return behaviour

        async def counted(request: Any, context: Context) -> AsyncIterator[Message]:
            await self._admit(access, request, context)
            async for message in behaviour(request, context):
                yield message

        async def counted_in_flight(request: Any, context: Context) -> AsyncIterator[Message]:
            with self._in_flight.counted(caller.current().user_id):
                async for message in counted(request, context):
                    yield message

        return counted_in_flight if access.kind is RpcKind.AGENT_CALL else counted

    async def _admit(self, access: Access, request: Any, context: Context) -> None:
        if access.open:
            (await self._limiter.take(self._of_address(access.kind, request, context))).check()
            return
        who = caller.current()
        session = who.session_id
        watched = () if session is None else self._sessions.watched(session)
        verdict = await self._limiter.take(charges_of(who, access.kind, self._allowances), watched)
        verdict.check()
        if session is not None and await self._sessions.is_revoked(session, verdict.present):
            raise TokenRevoked("the session of this access token has ended; log in again")

    def _of_address(self, kind: RpcKind, request: Any, context: Context) -> list[Charge]:
        address, allowances = network_of(self._peers.address_of(context)), self._allowances
        if kind is not RpcKind.LOGIN:
            return [Charge("calls_of_address", f"limit:open:{address}", allowances.open_calls_of_address, CallerKind.ADDRESS)]
        charges = [Charge("logins_of_address", f"limit:logins:{address}", allowances.logins_of_address, CallerKind.ADDRESS)]
        if name := getattr(request, "username", ""):
            known = hashlib.blake2b(name.strip().casefold().encode(errors="replace"), digest_size=16).hexdigest()
            charges.insert(0, Charge("logins", f"limit:logins:{address}:{known}", allowances.logins, CallerKind.ADDRESS))
        return charges


def charges_of(who: Caller, kind: RpcKind, allowances: Allowances) -> list[Charge]:
    """The buckets that count a call: the user's, and for an agent call made with an API key that key's too."""
    if kind is RpcKind.LOGIN:  # a call that hashes a password, made by a user who is logged in
        return [Charge("logins", f"limit:logins:user:{who.user_id}", allowances.logins)]
    if kind is not RpcKind.AGENT_CALL:
        return [Charge("calls", f"limit:calls:{who.user_id}", allowances.other_calls)]
    charges = [Charge("agent_calls", f"limit:agent_calls:{who.user_id}", allowances.agent_calls)]
    if who.api_key_id is not None:
        bucket = f"limit:agent_calls:key:{who.api_key_id}"
        charges.append(Charge("agent_calls_of_key", bucket, allowances.agent_calls_of_key, CallerKind.API_KEY))
    return charges
