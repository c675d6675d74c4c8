"""Tokens of steps: how many a worker takes, keeps and waits for."""

from collections.abc import Sequence
from uuid import uuid4

from mesh.limits.limiter import Charge, Verdict
from orchestrator.adapters.limits.local import LocalLimits
from orchestrator.identity.model import Principal
from orchestrator.workflows.engine.tokens import OwnerTokens
from tests.support.clock import SetClock

ANN, BOB = Principal(1), Principal(2)


class CountedLimiter:
    """The buckets of the process; counts the requests for tokens."""

    def __init__(self) -> None:
        self._buckets = LocalLimits()
        self.trips = 0

    async def take(self, charges: Sequence[Charge], watch: Sequence[str] = ()) -> Verdict:
        """Takes all of the tokens, or none."""
        self.trips += 1
        return self._buckets.take(charges)


def of_user(per_minute: int) -> OwnerTokens:
    return OwnerTokens(CountedLimiter(), lambda principal: [Charge("agent_calls", str(principal), per_minute)], clock=SetClock())


async def test_as_many_tokens_as_requested_are_taken() -> None:
    assert await of_user(600).take({ANN: 3, BOB: 5}) == {ANN: 3, BOB: 5}


async def test_a_bucket_with_fewer_tokens_gives_all_it_has() -> None:
    tokens = of_user(10)
    assert await tokens.take({ANN: 64}) == {ANN: 10}
    assert tokens.users_without() == [1]
    assert tokens.refill_in == 6
    assert await tokens.take({ANN: 1, BOB: 1}) == {ANN: 0, BOB: 1}


async def test_one_token_a_minute_is_one_token() -> None:
    tokens = of_user(1)
    assert await tokens.take({ANN: 64}) == {ANN: 1}
    assert tokens.refill_in == 60


async def test_tokens_for_one_second_are_taken_ahead_and_kept() -> None:
    limiter = CountedLimiter()
    tokens = OwnerTokens(limiter, lambda principal: [Charge("agent_calls", str(principal), 600)])
    assert await tokens.take({ANN: 1}) == {ANN: 1}
    for _ in range(10):
        assert tokens.take_spare(ANN)
    assert not tokens.take_spare(ANN)
    assert not tokens.take_spare(BOB)
    assert limiter.trips == 1


async def test_tokens_taken_ahead_never_exceed_the_bucket() -> None:
    tokens = of_user(120)
    taken = 0
    while (got := (await tokens.take({ANN: 7}))[ANN]) > 0:
        taken += got
    assert taken == 120


async def test_the_smaller_of_two_buckets_decides() -> None:
    """A run that was started with an API key is charged to the key and to its user."""
    key = uuid4()

    def charges(principal: Principal) -> list[Charge]:
        of_key = [Charge("agent_calls_of_key", str(principal.api_key_id), 4)] if principal.api_key_id else []
        return [Charge("agent_calls", str(principal.user_id), 30), *of_key]

    tokens = OwnerTokens(CountedLimiter(), charges, clock=SetClock())
    assert await tokens.take({Principal(1, key): 20}) == {Principal(1, key): 4}
    assert await tokens.take({Principal(1): 40}) == {Principal(1): 26}
