"""Token buckets in the memory of this process."""

from collections.abc import Sequence

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.limits.limiter import Charge, Verdict

MOST_BUCKETS = 20_000


class LocalLimits:
    """Like take_tokens.lua, stores for each bucket the time at which it will be full again."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._now = clock.monotonic
        self._full_at: dict[str, float] = {}

    def take(self, charges: Sequence[Charge]) -> Verdict:
        """Takes a token for every charge, or none."""
        now = self._now()
        due = []
        for charge in charges:
            full_at = max(self._full_at.get(charge.key, 0.0), now) + charge.interval_seconds
            wait = full_at - now - 60
            if wait > 1e-9:
                return Verdict(charge, wait)
            due.append((charge.key, full_at))
        self._full_at.update(due)
        if len(self._full_at) > MOST_BUCKETS:
            self._forget(now)
        return Verdict()

    def give_back(self, charges: Sequence[Charge]) -> None:
        """Returns tokens that were taken."""
        for charge in charges:
            if charge.key in self._full_at:
                self._full_at[charge.key] -= charge.interval_seconds

    def _forget(self, now: float) -> None:
        """Drops full buckets, then the oldest, to bound the memory."""
        kept = [(key, full_at) for key, full_at in self._full_at.items() if full_at > now]
        self._full_at = dict(kept[-MOST_BUCKETS // 2 :])
