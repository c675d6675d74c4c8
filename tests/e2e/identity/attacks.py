"""Credentials that must be refused, each with the reason of the refusal.

They are forged by an attacker who knows everything except how to make a valid one; most even use the real secret.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

INVALID, EXPIRED, REVOKED = "AUTH_INVALID_CREDENTIALS", "AUTH_TOKEN_EXPIRED", "AUTH_TOKEN_BLACKLISTED"
Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class StolenCredentials:
    """The credentials and secrets that the attacker has."""

    secret: str
    """The platform's own secret."""
    good: str
    """A valid access token of an ordinary user."""
    refresh_token: str
    api_key: str
    """A valid API key."""
    revoked_key: str
    expired_key: str
    ended: str
    """An access token whose session was ended by a logout."""

    def claims(self, **changed: Any) -> dict[str, Any]:
        """The valid token's claims with changes; None removes a claim."""
        claims = {**jwt.decode(self.good, options={"verify_signature": False}), **changed}
        return {name: value for name, value in claims.items() if value is not None}

    def signed(self, header: dict[str, Any] | None = None, secret: str | None = None, **changed: Any) -> str:
        """A token signed with HMAC-SHA256, regardless of its header."""
        head = {"alg": "HS256", "typ": "at+jwt", **(header or {})}
        return assembled(json.dumps(head), json.dumps(self.claims(**changed)), self.secret if secret is None else secret)


def assembled(header: str, payload: str, secret: str, digest: Any = hashlib.sha256) -> str:
    """A token with this header and payload, signed with HMAC."""
    signing = f"{encoded(header.encode())}.{encoded(payload.encode())}"
    return f"{signing}.{encoded(hmac.new(secret.encode(), signing.encode(), digest).digest())}"


def encoded(data: bytes) -> str:
    """Base64 in the form that JWTs use."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


Forge = Callable[[StolenCredentials], str]
TOKENS: dict[str, tuple[str, Forge]] = {
    # The algorithm
    "alg none": (
        INVALID,
        lambda stolen: assembled('{"alg":"none","typ":"at+jwt"}', json.dumps(stolen.claims()), "").rpartition(".")[0] + ".",
    ),
    "alg None with a signature": (INVALID, lambda stolen: stolen.signed({"alg": "None"})),
    "no alg": (INVALID, lambda stolen: assembled('{"typ":"at+jwt"}', json.dumps(stolen.claims()), stolen.secret)),
    "alg in lower case": (INVALID, lambda stolen: stolen.signed({"alg": "hs256"})),
    "HS384 with the right secret": (INVALID, lambda stolen: jwt.encode(stolen.claims(), stolen.secret, "HS384", {"typ": "at+jwt"})),
    "HS512 with the right secret": (INVALID, lambda stolen: jwt.encode(stolen.claims(), stolen.secret, "HS512", {"typ": "at+jwt"})),
    "RS256 confused with HMAC": (INVALID, lambda stolen: stolen.signed({"alg": "RS256"})),
    "ES256 confused with HMAC": (INVALID, lambda stolen: stolen.signed({"alg": "ES256"})),
    "EdDSA with the attacker's key": (
        INVALID,
        lambda stolen: jwt.encode(stolen.claims(), Ed25519PrivateKey.generate(), "EdDSA", {"typ": "at+jwt"}),
    ),
    # The key
    "another secret": (INVALID, lambda stolen: stolen.signed(secret="q" * 48)),
    "no secret": (INVALID, lambda stolen: stolen.signed(secret="")),
    "kid with the path of an empty file": (INVALID, lambda stolen: stolen.signed({"kid": "../../../../dev/null"}, secret="")),
    "kid that injects SQL": (INVALID, lambda stolen: stolen.signed({"kid": "' UNION SELECT 'x' --"}, secret="x")),
    "kid that is not text": (INVALID, lambda stolen: stolen.signed({"kid": 1})),
    "a key in the header": (
        INVALID,
        lambda stolen: stolen.signed({"jwk": {"kty": "oct", "k": encoded(b"mine" * 8)}}, secret="mine" * 8),
    ),
    "a key URL in the header": (INVALID, lambda stolen: stolen.signed({"jku": "http://127.0.0.1:1/keys"}, secret="mine" * 8)),
    "a critical extension": (INVALID, lambda stolen: stolen.signed({"crit": ["exp"], "exp": 1})),
    # The purpose
    "another issuer": (INVALID, lambda stolen: stolen.signed(iss="somebody")),
    "no issuer": (INVALID, lambda stolen: stolen.signed(iss=None)),
    "another audience": (INVALID, lambda stolen: stolen.signed(aud="agentmesh-console")),
    "the right audience among others": (INVALID, lambda stolen: stolen.signed(aud=["agentmesh-api", "elsewhere"])),
    "no audience": (INVALID, lambda stolen: stolen.signed(aud=None)),
    "a plain JWT": (INVALID, lambda stolen: stolen.signed({"typ": "JWT"})),
    "no type": (INVALID, lambda stolen: stolen.signed({"typ": None})),
    "a call token's type": (INVALID, lambda stolen: stolen.signed({"typ": "call+jwt"})),
    "an id token's type": (INVALID, lambda stolen: stolen.signed({"typ": "id+jwt"})),
    "a refresh token": (INVALID, lambda stolen: stolen.refresh_token),
    # Times
    "expired": (EXPIRED, lambda stolen: stolen.signed(exp=int(time.time()) - 60)),
    "expired and forged": (INVALID, lambda stolen: stolen.signed(exp=int(time.time()) - 60, secret="q" * 48)),
    "not yet valid": (INVALID, lambda stolen: stolen.signed(nbf=int(time.time()) + 600)),
    "issued in the future": (INVALID, lambda stolen: stolen.signed(iat=int(time.time()) + 600)),
    "never expires": (INVALID, lambda stolen: stolen.signed(exp=None)),
    "exp that is not a number": (INVALID, lambda stolen: stolen.signed(exp="tomorrow")),
    "exp that is infinite": (INVALID, lambda stolen: stolen.signed(exp=float("inf"))),
    "no iat": (INVALID, lambda stolen: stolen.signed(iat=None)),
    # The subject
    "sub as a number": (INVALID, lambda stolen: stolen.signed(sub=1)),
    "sub of an unknown user": (INVALID, lambda stolen: stolen.signed(sub="2000000000")),
    "sub zero": (INVALID, lambda stolen: stolen.signed(sub="0")),
    "sub that is not a number": (INVALID, lambda stolen: stolen.signed(sub="1 OR 1=1")),
    "sub with too many digits": (INVALID, lambda stolen: stolen.signed(sub="9" * 30)),
    "sub above 32 bits": (INVALID, lambda stolen: stolen.signed(sub="9999999999")),
    "no sub": (INVALID, lambda stolen: stolen.signed(sub=None)),
    "no id": (INVALID, lambda stolen: stolen.signed(jti=None)),
    "a malformed id": (INVALID, lambda stolen: stolen.signed(jti="agentmesh:revoked:complete")),
    # Tampered
    "another user in the payload": (
        INVALID,
        lambda stolen: ".".join(
            [stolen.good.split(".")[0], encoded(json.dumps(stolen.claims(sub="1")).encode()), stolen.good.split(".")[2]]
        ),
    ),
    "a signature with a flipped bit": (
        INVALID,
        lambda stolen: (
            stolen.good.rpartition(".")[0] + "." + ("A" if stolen.good.split(".")[2][0] != "A" else "B") + stolen.good.split(".")[2][1:]
        ),
    ),
    "half a signature": (INVALID, lambda stolen: stolen.good[:-20]),
    "no signature": (INVALID, lambda stolen: stolen.good.rpartition(".")[0] + "."),
    "two parts": (INVALID, lambda stolen: stolen.good.rpartition(".")[0]),
    "five parts, as if encrypted": (INVALID, lambda stolen: stolen.good + ".AAAA.AAAA"),
    "a payload that is not JSON": (INVALID, lambda stolen: assembled('{"alg":"HS256","typ":"at+jwt"}', "{", stolen.secret)),
    "a payload that is a list": (INVALID, lambda stolen: assembled('{"alg":"HS256","typ":"at+jwt"}', "[]", stolen.secret)),
    "a header that is a list": (INVALID, lambda stolen: assembled("[]", json.dumps(stolen.claims()), stolen.secret)),
    "a deeply nested header": (INVALID, lambda stolen: assembled("[" * 1300, "{}", stolen.secret)),
    "too long": (INVALID, lambda stolen: stolen.signed(username="x" * 3000)),
    "as long as the gateway allows": (INVALID, lambda stolen: "x" * 20_000),
    "nonsense": (INVALID, lambda stolen: "nonsense"),
    # Revoked
    "after a logout": (REVOKED, lambda stolen: stolen.ended),
    # API keys
    "an unknown API key": (INVALID, lambda stolen: "amk_" + "A" * 43),
    "an API key's prefix": (INVALID, lambda stolen: stolen.api_key[:10]),
    "an API key without its last character": (INVALID, lambda stolen: stolen.api_key[:-1]),
    "an API key with one more character": (INVALID, lambda stolen: stolen.api_key + "A"),
    "an API key in upper case": (INVALID, lambda stolen: "amk_" + stolen.api_key[4:].swapcase()),
    "a revoked API key": (REVOKED, lambda stolen: stolen.revoked_key),
    "an expired API key": (EXPIRED, lambda stolen: stolen.expired_key),
}
"""Sent as `authorization: Bearer …`."""

HEADERS: dict[str, tuple[str, Callable[[StolenCredentials], Headers]]] = {
    "nothing": (INVALID, lambda stolen: []),
    "an empty header": (INVALID, lambda stolen: [("authorization", "")]),
    "a scheme alone": (INVALID, lambda stolen: [("authorization", "Bearer")]),
    "a token alone": (INVALID, lambda stolen: [("authorization", stolen.good)]),
    "another scheme": (INVALID, lambda stolen: [("authorization", f"Basic {stolen.good}")]),
    "two tokens in a header": (INVALID, lambda stolen: [("authorization", f"Bearer {stolen.good}, Bearer {stolen.good}")]),
    "two words after the scheme": (INVALID, lambda stolen: [("authorization", f"Bearer {stolen.good} x")]),
    "the same header twice": (INVALID, lambda stolen: [("authorization", f"Bearer {stolen.good}")] * 2),
    "a bad and a valid header": (INVALID, lambda stolen: [("authorization", "Bearer bad"), ("authorization", f"Bearer {stolen.good}")]),
    "both headers": (INVALID, lambda stolen: [("authorization", f"Bearer {stolen.good}"), ("x-api-key", stolen.api_key)]),
    "the key header twice": (INVALID, lambda stolen: [("x-api-key", stolen.api_key)] * 2),
    "an access token as a key": (INVALID, lambda stolen: [("x-api-key", stolen.good)]),
    "a scheme in the key header": (INVALID, lambda stolen: [("x-api-key", f"Bearer {stolen.api_key}")]),
    "an empty key": (INVALID, lambda stolen: [("x-api-key", "")]),
    "a revoked key in its header": (REVOKED, lambda stolen: [("x-api-key", stolen.revoked_key)]),
    "a cookie": (INVALID, lambda stolen: [("cookie", f"access_token={stolen.good}")]),
    "a proxy's header": (INVALID, lambda stolen: [("proxy-authorization", f"Bearer {stolen.good}")]),
}


def as_bearer(forge: Forge) -> Callable[[StolenCredentials], Headers]:
    """A bearer header with the forged token."""
    return lambda stolen: [("authorization", f"Bearer {forge(stolen)}")]


ATTACKS = {**{name: (reason, as_bearer(forge)) for name, (reason, forge) in TOKENS.items()}, **HEADERS}
GOOD: dict[str, Callable[[StolenCredentials], Headers]] = {
    "an access token": lambda stolen: [("authorization", f"Bearer {stolen.good}")],
    "the scheme in lower case": lambda stolen: [("authorization", f"bearer {stolen.good}")],
    "the scheme in capitals": lambda stolen: [("authorization", f"BEARER {stolen.good}")],
    "two spaces": lambda stolen: [("authorization", f"Bearer  {stolen.good}")],
    "an API key": lambda stolen: [("authorization", f"Bearer {stolen.api_key}")],
    "an API key in its header": lambda stolen: [("x-api-key", stolen.api_key)],
    "validly signed with another kid": lambda stolen: [("authorization", f"Bearer {stolen.signed({'kid': 'any'})}")],
}
"""Valid credentials: the attacks above are not refused merely because everything is."""
