"""Access tokens without a platform; forged tokens are in tests/e2e/identity/attacks.py."""

import time

import jwt
import pytest

from mesh.security.errors import InvalidCredentials, TokenExpired
from mesh.security.tokens import LEEWAY_SECONDS, AccessTokens

OLD, NEW = "o" * 16 + "Zr5tYw1p_Lb9cNd7gHs3", "n" * 16 + "Zr5tYw1p_Lb9cNd7gHs3"
TOKEN_ID = "0" * 32 + "." + "a" * 16
HOUR = 3600


class Clock:
    """A clock that the test sets, starting at the current time."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def issued(*secrets: str, clock: Clock | None = None) -> str:
    return AccessTokens(secrets, HOUR, clock or Clock()).issue(42, "john.doe", TOKEN_ID)[0]


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
    clock = Clock()
    tokens = AccessTokens([NEW], HOUR, clock)
    token = issued(NEW, clock=clock)
    tokens.verify(token)
    clock.now += HOUR + LEEWAY_SECONDS - 1
    tokens.verify(token)
    clock.now += 2
    for _ in range(2):
        with pytest.raises(TokenExpired):
            tokens.verify(token)


def test_a_refused_token_is_not_cached_as_valid() -> None:
    tokens = AccessTokens([NEW], HOUR)
    for _ in range(2):
        with pytest.raises(InvalidCredentials):
            tokens.verify(issued(OLD))
