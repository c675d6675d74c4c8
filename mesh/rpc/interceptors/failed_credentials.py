"""Limits how many credentials one address may try."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.limits.limiter import CallerKind, Charge, LocalBuckets, network_of
from mesh.security.caller import Caller
from mesh.security.errors import InvalidCredentials, TokenExpired, TokenRevoked

LIMIT = "failed_credentials_of_address"
TRUSTED_SECONDS = 600.0
MOST_TRUSTED = 10_000
_FAILED = (InvalidCredentials, TokenExpired, TokenRevoked)


class FailedCredentials:
    """Counts failed credentials by address, in this process.

    A token is taken from the address's bucket before the credential is looked up and returned if the credential is good, so that
    concurrent guesses cannot slip through and good credentials cost nothing. A credential that was accepted within the last
    10 minutes skips the bucket: an attacker behind the same address translation does not lock out users who are already at work.
    """

    def __init__(self, buckets: LocalBuckets, per_minute: int, clock: Clock = SYSTEM_CLOCK) -> None:
        self._buckets = buckets
        self._per_minute = per_minute
        self._now = clock.monotonic
        self._trusted: OrderedDict[bytes, float] = OrderedDict()

    async def counted(self, address: Callable[[], str], credential: str, look_up: Callable[[str], Awaitable[Caller]]) -> Caller:
        """The result of `look_up(credential)`, or what it raises. Raises RateLimitExceeded if the address has failed too often."""
        digest = _digest(credential)
        charges: tuple[Charge, ...] = ()
        if self._trusted.get(digest, 0.0) <= self._now():
            charges = (Charge(LIMIT, f"{LIMIT}:{network_of(address())}", self._per_minute, CallerKind.ADDRESS),)
            self._buckets.take(charges).check()
        try:
            found = await look_up(credential)
        except _FAILED:
            self._trusted.pop(digest, None)
            raise
        except BaseException:  # whether the credential is good remains unknown
            self._buckets.give_back(charges)
            raise
        if charges:
            self._buckets.give_back(charges)
            self._trust(digest)
        return found

    def trusts(self, credential: str) -> bool:
        """Whether the credential was accepted within the last 10 minutes, and not refused since."""
        return self._trusted.get(_digest(credential), 0.0) > self._now()

    def _trust(self, digest: bytes) -> None:
        self._trusted[digest] = self._now() + TRUSTED_SECONDS
        self._trusted.move_to_end(digest)
        if len(self._trusted) > MOST_TRUSTED:
            self._trusted.popitem(last=False)


def _digest(credential: str) -> bytes:
    return sha256(credential.encode(errors="replace")).digest()
