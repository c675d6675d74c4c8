"""Tokens that this process has taken from shared buckets ahead of its calls."""

from collections import OrderedDict
from collections.abc import Sequence

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.limits.limiter import Charge

SHARE = 100
"""A round trip takes up to 1/100 of a bucket ahead, so buckets of fewer than 100 tokens are shared exactly."""
KEEP_SECONDS = 10.0
"""How long a token is kept. A caller who is slow loses at most 1/100 of the limit in this time, and 1/6 of the limit comes back."""
MOST_BUCKETS = 20_000


class Reserve:
    """Lets most calls of a busy caller do without a round trip.

    A process holds up to 1/100 of each bucket's tokens. If other processes empty a bucket, the caller may be refused there although
    this process still holds some, and the other way round.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._now = clock.monotonic
        self._held: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """For each bucket, how many tokens are held until when; the oldest first."""

    def take(self, charges: Sequence[Charge]) -> bool:
        """Takes the tokens of every charge, or none; False if one of them is not held."""
        now, held = self._now(), self._held
        taken = []
        for charge in charges:
            tokens, until = held.get(charge.key, (0, 0.0))
            if tokens < charge.tokens or until <= now:
                return False
            taken.append((charge.key, (tokens - charge.tokens, until)))
        held.update(taken)
        return bool(charges)

    def wanted(self, charge: Charge) -> int:
        """How many tokens to take ahead when the bucket is asked for this charge; 0 while some are held."""
        tokens, until = self._held.get(charge.key, (0, 0.0))
        return 0 if charge.tokens > 1 or (tokens and until > self._now()) else charge.per_minute // SHARE

    def put(self, charge: Charge, tokens: int) -> None:
        """Holds tokens that were taken ahead."""
        self._held[charge.key] = tokens, self._now() + KEEP_SECONDS
        self._held.move_to_end(charge.key)
        if len(self._held) > MOST_BUCKETS:
            self._held.popitem(last=False)
