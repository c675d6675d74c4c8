"""Counts calls: by user and credential, and those that nobody has to sign by the address they come from; and who has logged out."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from google.protobuf.message import Message
from prometheus_client import Counter

from mesh.errors import RateLimitExceeded
from mesh.limits import Charge, Limiter, Sessions, Verdict
from mesh.rpc.access import Access, LimitClass, access_of
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary
from mesh.rpc.peer import Peers
from mesh.security import caller
from mesh.security.caller import Caller
from mesh.security.errors import TokenRevoked

REFUSED = Counter("rate_limit_refused_total", "Calls that were refused by a limit", ["limit"])
IN_FLIGHT = "agent_calls_in_flight"


@dataclass(frozen=True, slots=True)
class Allowances:
    """How much each may do. Per minute, and as many at once; in flight, per process."""

    agent_calls: int = 600
    agent_calls_of_key: int = 600
    agent_calls_in_flight: int = 50
    other_calls: int = 6_000
    open_calls_of_address: int = 600
    logins: int = 10
    logins_of_address: int = 120


class InFlight:
    """Who has how many calls under way in this process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: dict[int, int] = {}

    @contextmanager
    def counted(self, user_id: int) -> Iterator[None]:
        """Counts a call of the user's while the block runs. Raises RateLimitExceeded when there are too many."""
        before = self._under_way.get(user_id, 0)
        if before >= self._most:
            raise refusal(IN_FLIGHT, 1, f"you have {before} calls to agents under way, and {self._most} is the most; wait for one to end")
        self._under_way[user_id] = before + 1
        try:
            yield
        finally:
            if (left := self._under_way[user_id] - 1) > 0:
                self._under_way[user_id] = left
            else:
                del self._under_way[user_id]


class Limits(BehaviourInterceptor):
    """Refuses with RATE_LIMIT_EXCEEDED what is too much, and with AUTH_TOKEN_BLACKLISTED a caller whose session has ended.

    Both are asked in one trip to Redis. Probes, and rpcs inside the mesh, are not counted.
    """

    def __init__(self, limiter: Limiter, sessions: Sessions, allowances: Allowances, peers: Peers) -> None:
        super().__init__()
        self._limiter = limiter
        self._sessions = sessions
        self._allowances = allowances
        self._peers = peers
        self._in_flight = InFlight(allowances.agent_calls_in_flight)

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        """Counts, then calls."""
        access = access_of(method)
        if access.mesh or access.limit is LimitClass.PROBE:
            return behaviour

        async def counted(request: Any, context: Context) -> Message:
            await self._admit(access, request, context)
            return await behaviour(request, context)

        async def counted_in_flight(request: Any, context: Context) -> Message:
            with self._in_flight.counted(caller.current().user_id):
                return await counted(request, context)

        return counted_in_flight if access.limit is LimitClass.AGENT_CALL else counted

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        """Counts, then streams."""
        access = access_of(method)
        if access.mesh or access.limit is LimitClass.PROBE:
            return behaviour

        async def counted(request: Any, context: Context) -> AsyncIterator[Message]:
            await self._admit(access, request, context)
            async for message in behaviour(request, context):
                yield message

        async def counted_in_flight(request: Any, context: Context) -> AsyncIterator[Message]:
            with self._in_flight.counted(caller.current().user_id):
                async for message in counted(request, context):
                    yield message

        return counted_in_flight if access.limit is LimitClass.AGENT_CALL else counted

    async def _admit(self, access: Access, request: Any, context: Context) -> None:
        if access.open:
            _refuse(await self._limiter.take(self._of_address(access.limit, request, context)))
            return
        who = caller.current()
        session = who.session_id
        watched = () if session is None else self._sessions.watched(session)
        verdict = await self._limiter.take(charges_of(who, access.limit, self._allowances), watched)
        _refuse(verdict)
        if session is not None and await self._sessions.is_revoked(session, verdict.present):
            raise TokenRevoked("the session of this access token has ended; log in again")

    def _of_address(self, limit: LimitClass, request: Any, context: Context) -> list[Charge]:
        address, allowances = _network(self._peers.address_of(context)), self._allowances
        if limit is not LimitClass.LOGIN:
            return [Charge("calls_of_address", f"limit:open:{address}", allowances.open_calls_of_address)]
        charges = [Charge("logins_of_address", f"limit:logins:{address}", allowances.logins_of_address)]
        if name := getattr(request, "username", ""):
            known = hashlib.blake2b(name.strip().casefold().encode(errors="replace"), digest_size=16).hexdigest()
            charges.insert(0, Charge("logins", f"limit:logins:{address}:{known}", allowances.logins))
        return charges


def _refuse(verdict: Verdict) -> None:
    if (charge := verdict.refused_by) is not None:
        raise refusal(charge.limit, verdict.wait_seconds, f"more than {charge.per_minute} a minute ({charge.limit}); try again later")


def charges_of(who: Caller, limit: LimitClass, allowances: Allowances) -> list[Charge]:
    """The buckets that a call of this caller's is taken from: the user's, whatever the credential, and the API key's own."""
    if limit is not LimitClass.AGENT_CALL:
        return [Charge("calls", f"limit:calls:{who.user_id}", allowances.other_calls)]
    charges = [Charge("agent_calls", f"limit:agent_calls:{who.user_id}", allowances.agent_calls)]
    if who.api_key_id is not None:
        charges.append(Charge("agent_calls_of_key", f"limit:agent_calls:key:{who.api_key_id}", allowances.agent_calls_of_key))
    return charges


def _network(address: str) -> str:
    """What is counted as one address: of IPv6 the /64, for whoever has one address of it has them all."""
    return str(ip_network(f"{address}/64", strict=False).network_address) if ":" in address else address


def refusal(limit: str, wait_seconds: float, message: str) -> RateLimitExceeded:
    """The error of a call that is too much."""
    REFUSED.labels(limit).inc()
    return RateLimitExceeded(message, retry_after_seconds=wait_seconds, limit=limit)
