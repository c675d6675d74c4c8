"""Applies the call limits of a run's user to steps. A call above a limit is refused; a step waits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil, floor

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.limits.limiter import REFUSED, Charge, Limiter
from orchestrator.identity.model import Principal

MOST_SPARE = 64
"""How many unused tokens a worker keeps for a principal at most."""
MOST_PRINCIPALS = 10_000

ChargesOf = Callable[[Principal], Sequence[Charge]]


class OwnerTokens:
    """Takes the tokens of steps before they are claimed.

    Tokens come from the buckets that count the user's calls. A worker takes about one second's tokens in advance and keeps the unused
    ones, so most claims need no round trip to Redis. Claims leave out a user whose bucket is empty until it has a token again.
    """

    def __init__(self, limiter: Limiter, charges_of: ChargesOf, clock: Clock = SYSTEM_CLOCK) -> None:
        self._limiter = limiter
        self._charges_of = charges_of
        self._now = clock.monotonic
        self._spare: dict[Principal, int] = {}
        self._empty_until: dict[int, float] = {}

    def users_without(self) -> list[int]:
        """Returns the users who have no token now."""
        now = self._now()
        self._empty_until = {user: until for user, until in self._empty_until.items() if until > now}
        return list(self._empty_until)

    @property
    def refill_in(self) -> float | None:
        """The seconds until the first of those users has a token again; None if there is no such user."""
        return max(0.0, min(self._empty_until.values()) - self._now()) if self._empty_until else None

    def take_spare(self, principal: Principal) -> bool:
        """Takes a token that this worker has in reserve; returns False if it has none."""
        spare = self._spare.get(principal, 0)
        if spare:
            self._keep(principal, spare - 1)
        return spare > 0

    async def take(self, wanted: Mapping[Principal, int]) -> dict[Principal, int]:
        """Takes the wanted number of tokens for each principal, or as many as are available."""
        taken = {}
        for principal, most in wanted.items():
            tokens = self._spare.get(principal, 0)
            if tokens < most:
                tokens += await self._draw(principal, most - tokens)
            taken[principal] = min(most, tokens)
            self._keep(principal, tokens - taken[principal])
        return taken

    async def _draw(self, principal: Principal, needed: int) -> int:
        """Draws the needed tokens and another second's tokens from the buckets, or as many as are left."""
        charges = self._charges_of(principal)
        tokens = needed + min(MOST_SPARE, *(floor(charge.per_minute / 60) for charge in charges))
        for _ in range(len(charges) + 1):
            verdict = await self._limiter.take([replace(charge, tokens=tokens) for charge in charges])
            refused_by = verdict.refused_by
            if refused_by is None:
                break
            token_seconds = refused_by.interval_seconds / tokens
            missing = max(1, ceil(verdict.wait_seconds / token_seconds - 1e-6))
            tokens -= missing
            if tokens < needed:
                REFUSED.labels(refused_by.limit, refused_by.caller).inc()
                self._empty_until[principal.user_id] = self._now() + min(60.0, token_seconds)
            if tokens <= 0:
                return 0
        else:
            return 0
        return tokens

    def _keep(self, principal: Principal, spare: int) -> None:
        self._spare.pop(principal, None)
        if spare:
            if len(self._spare) >= MOST_PRINCIPALS:
                del self._spare[next(iter(self._spare))]
            self._spare[principal] = spare
