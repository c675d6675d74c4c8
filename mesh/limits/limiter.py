"""Limits: token buckets as plain values, and how a refusal is worded and counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network
from math import ceil
from typing import Protocol
from uuid import UUID

from prometheus_client import Counter

from mesh.errors import RateLimitExceeded

REFUSED = Counter("rate_limit_refused_total", "Calls refused by a limit, by the limit and the kind of caller", ["limit", "caller"])


class CallerKind(StrEnum):
    """Whose use a limit counts."""

    USER = "user"
    API_KEY = "api_key"
    ADDRESS = "address"
    EVERYONE = "everyone"


def refusal(limit: str, caller: CallerKind, allowed: str, wait_seconds: float, advice: str = "") -> RateLimitExceeded:
    """The error for a call that exceeds `limit`, counted. `allowed` is the limit's value with its unit, e.g. `600 a minute`.

    Every limit of the platform refuses with this error, so that callers always learn the limit, its value and when to come back.
    """
    REFUSED.labels(limit, caller).inc()
    wait = ceil(max(1.0, wait_seconds))
    message = f"limit {limit} reached: at most {allowed} per {_PER[caller]}; {advice}try again in {wait} s"
    return RateLimitExceeded(message, retry_after_seconds=wait_seconds, limit=limit, allowed=allowed)


_PER = {
    CallerKind.USER: "user",
    CallerKind.API_KEY: "API key",
    CallerKind.ADDRESS: "address",
    CallerKind.EVERYONE: "installation",
}


def network_of(address: str) -> str:
    """What counts as one address: for IPv6 the /64 network, because its owner can use every address in it."""
    return str(ip_network(f"{address}/64", strict=False).network_address) if ":" in address else address


@dataclass(frozen=True, slots=True)
class Charge:
    """Tokens to take from a bucket that holds `per_minute` tokens and refills at that rate."""

    limit: str
    """The name of the limit, as callers see it."""
    key: str
    """The bucket; no two limits share a key."""
    per_minute: int
    caller: CallerKind = CallerKind.USER
    tokens: int = 1

    @property
    def interval_seconds(self) -> float:
        """How long the tokens take to come back."""
        return 60 * self.tokens / self.per_minute


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a set of charges: all were taken, or none."""

    refused_by: Charge | None = None
    """The first charge whose bucket is empty."""
    wait_seconds: float = 0.0
    """How long until that bucket has the tokens."""
    present: tuple[bool, ...] | None = None
    """Which of the watched keys exist; None if Redis did not answer."""

    def check(self) -> None:
        """Raises RateLimitExceeded if a bucket is empty."""
        if (charge := self.refused_by) is not None:
            raise refusal(charge.limit, charge.caller, f"{charge.per_minute} a minute", self.wait_seconds)


class Sessions(Protocol):
    """Tells which sessions have ended, with the help of keys that the limiter looks up on its round trip."""

    def watched(self, session_id: UUID) -> Sequence[str]:
        """The keys to look up; empty while Redis is not trusted."""
        ...

    async def is_revoked(self, session_id: UUID, present: Sequence[bool] | None) -> bool:
        """Whether the session has ended. `present` tells which of the watched keys exist; None if Redis did not answer.

        Raises ServiceUnavailable if neither Redis nor PostgreSQL can tell.
        """
        ...


class Limiter(Protocol):
    """Keeps the buckets. Never fails: without Redis it counts in this process."""

    async def take(self, charges: Sequence[Charge], watch: Sequence[str] = ()) -> Verdict:
        """Takes the tokens of every charge, or none; looks up on the same round trip which of the keys in `watch` exist."""
        ...


class LocalBuckets(Protocol):
    """Buckets in the memory of this process."""

    def take(self, charges: Sequence[Charge]) -> Verdict:
        """Takes a token for every charge, or none."""
        ...

    def give_back(self, charges: Sequence[Charge]) -> None:
        """Returns tokens that were taken."""
        ...
