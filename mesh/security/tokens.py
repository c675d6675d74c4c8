"""Access tokens: JWTs with the claims of lld.md 9.2, issuer, audience and type, verified as RFC 8725 wants it.

The algorithm is fixed, the type says what the token is for, and nothing in the header chooses a key: every live secret is tried.
`sub` is the user's id as a string, for RFC 7519 (and PyJWT) takes no number there.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import jwt

from mesh.security.errors import InvalidCredentials, TokenExpired

ALGORITHM = "HS256"
ISSUER = "agentmesh"
AUDIENCE = "agentmesh-api"
TYPE = "at+jwt"
LONGEST_TOKEN = 2048
LEEWAY_SECONDS = 2
"""How far the clocks of two orchestrators may be apart."""
_REMEMBERED = 10_000
_CLAIMS = ("sub", "username", "iat", "exp", "jti", "iss", "aud")
_USER_ID = re.compile(r"[1-9][0-9]{0,9}")
_LARGEST_ID = 2**31 - 1
_TOKEN_ID = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{16}")
_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What a verified token says. Times are seconds since the epoch."""

    user_id: int
    username: str
    token_id: str
    expires_at: int


class AccessTokens:
    """Issues tokens by the first secret, and verifies those of every secret."""

    def __init__(self, secrets: Sequence[str], lifetime_seconds: int, clock: Callable[[], float] = time.time) -> None:
        self._secrets = [secret.encode() for secret in secrets]
        self.lifetime_seconds = lifetime_seconds
        self._clock = clock
        self._verified: OrderedDict[bytes, AccessClaims] = OrderedDict()

    def issue(self, user_id: int, username: str, token_id: str) -> tuple[str, int]:
        """A new token, and when it expires. `token_id` is 32 hexadecimal digits for the session, a dot, and 16 for the token."""
        now = int(self._clock())
        claims = {
            "sub": str(user_id),
            "username": username,
            "iat": now,
            "exp": now + self.lifetime_seconds,
            "jti": token_id,
            "iss": ISSUER,
            "aud": AUDIENCE,
        }
        return jwt.encode(claims, self._secrets[0], ALGORITHM, headers={"typ": TYPE}), now + self.lifetime_seconds

    def verify(self, token: str) -> AccessClaims:
        """What the token says. Raises InvalidCredentials, or TokenExpired for one that was ours.

        A token that has been verified is known by its hash until it expires: then only its time is looked at.
        """
        if len(token) > LONGEST_TOKEN:
            raise _invalid("is too long")
        digest = sha256(token.encode()).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._verified[digest] = self._read(token)
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        if self._clock() >= claims.expires_at + LEEWAY_SECONDS:
            self._verified.pop(digest, None)
            raise _expired()
        return claims

    def _read(self, token: str) -> AccessClaims:
        try:
            whole = self._signed(token)
        except jwt.ExpiredSignatureError:
            raise _expired() from None
        except _UNREADABLE:
            raise _invalid("is malformed, forged, or not for this platform") from None
        if whole["header"].get("typ") != TYPE:
            raise _invalid("is a token of another type")
        return _claims(whole["payload"])

    def _signed(self, token: str) -> dict[str, Any]:
        for secret in self._secrets:
            try:
                return jwt.decode_complete(
                    token,
                    secret,
                    [ALGORITHM],
                    options={"require": list(_CLAIMS), "strict_aud": True},
                    audience=AUDIENCE,
                    issuer=ISSUER,
                    leeway=LEEWAY_SECONDS,
                )
            except jwt.InvalidSignatureError:
                continue
        raise jwt.InvalidSignatureError


def _claims(payload: dict[str, Any]) -> AccessClaims:
    username, expires_at, issued_at = payload["username"], payload["exp"], payload["iat"]
    well_formed = (
        _USER_ID.fullmatch(payload["sub"])
        and isinstance(username, str)
        and type(expires_at) is int
        and type(issued_at) is int
        and _TOKEN_ID.fullmatch(payload["jti"])
    )
    if not well_formed or int(payload["sub"]) > _LARGEST_ID:
        raise _invalid("has claims that this platform does not issue")
    return AccessClaims(int(payload["sub"]), username, payload["jti"], expires_at)


def _invalid(why: str) -> InvalidCredentials:
    return InvalidCredentials(f"the access token {why}; log in for a new one")


def _expired() -> TokenExpired:
    return TokenExpired("the access token has expired; refresh it, or log in again")
