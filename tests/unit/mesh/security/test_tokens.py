"""Access tokens without a platform; forged tokens are in tests/e2e/identity/attacks.py."""

import jwt
import pytest

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.security.errors import InvalidCredentials, TokenExpired
from mesh.security.tokens import LEEWAY_SECONDS, AccessTokens
from tests.support.clock import SetClock

OLD, NEW = "o" * 16 + "Zr5tYw1p_Lb9cNd7gHs3", "n" * 16 + "Zr5tYw1p_Lb9cNd7gHs3"
TOKEN_ID = "0" * 32 + "." + "a" * 16
HOUR = 3600


def issued(*secrets: str, clock: Clock = SYSTEM_CLOCK) -> str:
    return AccessTokens(secrets, HOUR, clock).issue(42, "john.doe", TOKEN_ID)[0]


def test_an_issued_token_is_verified() -> None:
    claims = AccessTokens([NEW], HOUR).verify(issued(NEW))
    assert (claims.user_id, claims.username, claims.token_id) == (42, "john.doe", TOKEN_ID)


def test_a_token_signed_with_the_previous_secret_is_valid_only_during_a_rotation() -> None:
    token = issued(OLD)
    assert AccessTokens([NEW, OLD], HOUR).verify(token).user_id == 42
    with pytest.raises(InvalidCredentials):
        AccessTokens([NEW], HOUR).verify(token)


def test_new_tokens_are_signed_with_the_first_secret() -> None:
    assert jwt.decode(issued(NEW, OLD), NEW, ["HS256"], audience="agentmesh-api")["sub"] == "42"


def test_a_cached_verification_still_expires() -> None:
    clock = SetClock()
    tokens = AccessTokens([NEW], HOUR, clock)
    token = issued(NEW, clock=clock)
    tokens.verify(token)
    clock.advance(HOUR + LEEWAY_SECONDS - 1)
    tokens.verify(token)
    clock.advance(2)
    for _ in range(2):
        with pytest.raises(TokenExpired):
            tokens.verify(token)


def test_a_refused_token_is_not_cached_as_valid() -> None:
    tokens = AccessTokens([NEW], HOUR)
    for _ in range(2):
        with pytest.raises(InvalidCredentials):
            tokens.verify(issued(OLD))


def test_only_the_given_clock_decides_when_a_token_expires() -> None:
    """Also for a token that is read for the first time, and on a machine whose clock is years away."""
    clock = SetClock(begin=100_000_000.0)
    late = issued(NEW, clock=clock)
    assert AccessTokens([NEW], HOUR, clock).verify(late).user_id == 42
    clock.advance(HOUR + LEEWAY_SECONDS)
    with pytest.raises(TokenExpired):
        AccessTokens([NEW], HOUR, clock).verify(late)


def test_a_token_that_was_issued_in_the_future_is_invalid() -> None:
    clock = SetClock()
    early = issued(NEW, clock=clock)
    clock.set_back(LEEWAY_SECONDS)
    assert AccessTokens([NEW], HOUR, clock).verify(early).user_id == 42
    clock.set_back(1)
    with pytest.raises(InvalidCredentials):
        AccessTokens([NEW], HOUR, clock).verify(early)
