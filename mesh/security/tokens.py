"""Access tokens: JWTs with the claims sub, username, iat, exp, jti, iss and aud, verified as RFC 8725 recommends.

The algorithm is fixed, the type is checked, and nothing in the header selects a key: every current secret is tried. `sub` is the user's
id as a string, because RFC 7519 (and PyJWT) allow no number.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import jwt
from jwt.types import Options

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.security.errors import InvalidCredentials, TokenExpired

ALGORITHM = "HS256"
ISSUER = "agentmesh"
AUDIENCE = "agentmesh-api"
TYPE = "at+jwt"
LONGEST_TOKEN = 2048
LEEWAY_SECONDS = 2
"""How far the clocks of two orchestrators may differ."""
_REMEMBERED = 10_000
_CLAIMS = ("sub", "username", "iat", "exp", "jti", "iss", "aud")
_USER_ID = re.compile(r"[1-9][0-9]{0,9}")
_LARGEST_ID = 2**31 - 1
_TOKEN_ID = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{16}")
_OPTIONS: Options = {"require": list(_CLAIMS), "strict_aud": True, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
"""PyJWT would read the time itself, so the times are checked here."""
_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """The claims of a verified token. Times are seconds since the epoch."""

    user_id: int
    username: str
    token_id: str
    expires_at: int


class AccessTokens:
    """Issues tokens with the first secret, and verifies tokens of all secrets."""

    def __init__(self, secrets: Sequence[str], lifetime_seconds: int, clock: Clock = SYSTEM_CLOCK) -> None:
        self._secrets = [secret.encode() for secret in secrets]
        self.lifetime_seconds = lifetime_seconds
        self._time = clock.time
        self._verified: OrderedDict[bytes, AccessClaims] = OrderedDict()

    def issue(self, user_id: int, username: str, token_id: str) -> tuple[str, int]:
        """A new token and when it expires. `token_id` is the session as 32 hexadecimal digits, a dot, and 16 digits for the token."""
        now = int(self._time())
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
        """The claims of the token. Raises InvalidCredentials, or TokenExpired for a genuine token that has expired.

        Verified tokens are remembered by their hash; after that, only the expiry is checked.
        """
        if len(token) > LONGEST_TOKEN:
            raise _invalid(f"is longer than {LONGEST_TOKEN} characters")
        digest = sha256(token.encode()).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._verified[digest] = self._read(token)
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        if self._time() >= claims.expires_at + LEEWAY_SECONDS:
            self._verified.pop(digest, None)
            raise _expired()
        return claims

    def _read(self, token: str) -> AccessClaims:
        try:
            whole = self._signed(token)
        except _UNREADABLE:
            raise _invalid("is malformed, forged, or was not issued by this platform") from None
        if whole["header"].get("typ") != TYPE:
            raise _invalid("has another type than at+jwt")
        claims = _claims(whole["payload"])
        if whole["payload"]["iat"] > self._time() + LEEWAY_SECONDS:
            raise _invalid("was issued in the future: the clocks of two orchestrators differ")
        return claims

    def _signed(self, token: str) -> dict[str, Any]:
        for secret in self._secrets:
            try:
                return jwt.decode_complete(
                    token,
                    secret,
                    [ALGORITHM],
                    options=_OPTIONS,
                    audience=AUDIENCE,
                    issuer=ISSUER,
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
        and "nbf" not in payload  # never issued
    )
    if not well_formed or int(payload["sub"]) > _LARGEST_ID:
        raise _invalid("has missing or invalid claims")
    return AccessClaims(int(payload["sub"]), username, payload["jti"], expires_at)


def _invalid(why: str) -> InvalidCredentials:
    return InvalidCredentials(f"the access token {why}; log in for a new one")


def _expired() -> TokenExpired:
    return TokenExpired("the access token has expired; refresh it or log in again")
