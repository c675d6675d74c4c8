"""Credentials that must not let anybody in, each with the reason that it is refused for.

They are made by somebody who knows everything but how to make a right one; most even know the secret.
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
class Loot:
    """What the attacker has."""

    secret: str
    """The platform's own."""
    good: str
    """A good access token of an ordinary user."""
    refresh_token: str
    api_key: str
    """A good API key."""
    revoked_key: str
    expired_key: str
    ended: str
    """An access token whose session was ended by a logout."""

    def claims(self, **changed: Any) -> dict[str, Any]:
        """The good token's claims with changes; None removes one."""
        claims = {**jwt.decode(self.good, options={"verify_signature": False}), **changed}
        return {name: value for name, value in claims.items() if value is not None}

    def signed(self, header: dict[str, Any] | None = None, secret: str | None = None, **changed: Any) -> str:
        """A token signed by HMAC-SHA256, whatever its header says."""
        head = {"alg": "HS256", "typ": "at+jwt", **(header or {})}
        return assembled(json.dumps(head), json.dumps(self.claims(**changed)), self.secret if secret is None else secret)


def assembled(header: str, payload: str, secret: str, digest: Any = hashlib.sha256) -> str:
    """A token of these texts, signed by HMAC."""
    signing = f"{encoded(header.encode())}.{encoded(payload.encode())}"
    return f"{signing}.{encoded(hmac.new(secret.encode(), signing.encode(), digest).digest())}"


def encoded(data: bytes) -> str:
    """Base64 as JWTs have it."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


Forge = Callable[[Loot], str]
TOKENS: dict[str, tuple[str, Forge]] = {
    # The algorithm
    "alg none": (INVALID, lambda loot: assembled('{"alg":"none","typ":"at+jwt"}', json.dumps(loot.claims()), "").rpartition(".")[0] + "."),
    "alg None with a signature": (INVALID, lambda loot: loot.signed({"alg": "None"})),
    "no alg": (INVALID, lambda loot: assembled('{"typ":"at+jwt"}', json.dumps(loot.claims()), loot.secret)),
    "alg in lower case": (INVALID, lambda loot: loot.signed({"alg": "hs256"})),
    "HS384 by the right secret": (INVALID, lambda loot: jwt.encode(loot.claims(), loot.secret, "HS384", {"typ": "at+jwt"})),
    "HS512 by the right secret": (INVALID, lambda loot: jwt.encode(loot.claims(), loot.secret, "HS512", {"typ": "at+jwt"})),
    "RS256 confused with HMAC": (INVALID, lambda loot: loot.signed({"alg": "RS256"})),
    "ES256 confused with HMAC": (INVALID, lambda loot: loot.signed({"alg": "ES256"})),
    "EdDSA by a key of the attacker's": (
        INVALID,
        lambda loot: jwt.encode(loot.claims(), Ed25519PrivateKey.generate(), "EdDSA", {"typ": "at+jwt"}),
    ),
    # The key
    "another secret": (INVALID, lambda loot: loot.signed(secret="q" * 48)),
    "no secret": (INVALID, lambda loot: loot.signed(secret="")),
    "kid that walks to an empty file": (INVALID, lambda loot: loot.signed({"kid": "../../../../dev/null"}, secret="")),
    "kid that injects SQL": (INVALID, lambda loot: loot.signed({"kid": "' UNION SELECT 'x' --"}, secret="x")),
    "kid that is no text": (INVALID, lambda loot: loot.signed({"kid": 1})),
    "a key in the header": (
        INVALID,
        lambda loot: loot.signed({"jwk": {"kty": "oct", "k": encoded(b"mine" * 8)}}, secret="mine" * 8),
    ),
    "an address of keys in the header": (INVALID, lambda loot: loot.signed({"jku": "http://127.0.0.1:1/keys"}, secret="mine" * 8)),
    "an extension that is critical": (INVALID, lambda loot: loot.signed({"crit": ["exp"], "exp": 1})),
    # What it is for
    "another issuer": (INVALID, lambda loot: loot.signed(iss="somebody")),
    "no issuer": (INVALID, lambda loot: loot.signed(iss=None)),
    "another audience": (INVALID, lambda loot: loot.signed(aud="agentmesh-console")),
    "our audience among others": (INVALID, lambda loot: loot.signed(aud=["agentmesh-api", "elsewhere"])),
    "no audience": (INVALID, lambda loot: loot.signed(aud=None)),
    "a plain JWT": (INVALID, lambda loot: loot.signed({"typ": "JWT"})),
    "no type": (INVALID, lambda loot: loot.signed({"typ": None})),
    "a call token's type": (INVALID, lambda loot: loot.signed({"typ": "call+jwt"})),
    "an id token's type": (INVALID, lambda loot: loot.signed({"typ": "id+jwt"})),
    "a refresh token": (INVALID, lambda loot: loot.refresh_token),
    # When
    "expired": (EXPIRED, lambda loot: loot.signed(exp=int(time.time()) - 60)),
    "expired and forged": (INVALID, lambda loot: loot.signed(exp=int(time.time()) - 60, secret="q" * 48)),
    "not yet valid": (INVALID, lambda loot: loot.signed(nbf=int(time.time()) + 600)),
    "issued in the future": (INVALID, lambda loot: loot.signed(iat=int(time.time()) + 600)),
    "never expires": (INVALID, lambda loot: loot.signed(exp=None)),
    "expires at no time": (INVALID, lambda loot: loot.signed(exp="tomorrow")),
    "expires at the end of numbers": (INVALID, lambda loot: loot.signed(exp=float("inf"))),
    "issued at no time": (INVALID, lambda loot: loot.signed(iat=None)),
    # Who
    "sub as a number": (INVALID, lambda loot: loot.signed(sub=1)),
    "sub of nobody": (INVALID, lambda loot: loot.signed(sub="2000000000")),
    "sub zero": (INVALID, lambda loot: loot.signed(sub="0")),
    "sub that is no number": (INVALID, lambda loot: loot.signed(sub="1 OR 1=1")),
    "sub beyond all numbers": (INVALID, lambda loot: loot.signed(sub="9" * 30)),
    "sub above an integer": (INVALID, lambda loot: loot.signed(sub="9999999999")),
    "no sub": (INVALID, lambda loot: loot.signed(sub=None)),
    "no id": (INVALID, lambda loot: loot.signed(jti=None)),
    "an id of another form": (INVALID, lambda loot: loot.signed(jti="agentmesh:revoked:complete")),
    # Tampered
    "another user in the payload": (
        INVALID,
        lambda loot: ".".join([loot.good.split(".")[0], encoded(json.dumps(loot.claims(sub="1")).encode()), loot.good.split(".")[2]]),
    ),
    "a signature with another bit": (
        INVALID,
        lambda loot: loot.good.rpartition(".")[0] + "." + ("A" if loot.good.split(".")[2][0] != "A" else "B") + loot.good.split(".")[2][1:],
    ),
    "half a signature": (INVALID, lambda loot: loot.good[:-20]),
    "no signature": (INVALID, lambda loot: loot.good.rpartition(".")[0] + "."),
    "two parts": (INVALID, lambda loot: loot.good.rpartition(".")[0]),
    "five parts, as if encrypted": (INVALID, lambda loot: loot.good + ".AAAA.AAAA"),
    "a payload that is no JSON": (INVALID, lambda loot: assembled('{"alg":"HS256","typ":"at+jwt"}', "{", loot.secret)),
    "a payload that is a list": (INVALID, lambda loot: assembled('{"alg":"HS256","typ":"at+jwt"}', "[]", loot.secret)),
    "a header that is a list": (INVALID, lambda loot: assembled("[]", json.dumps(loot.claims()), loot.secret)),
    "a header without an end": (INVALID, lambda loot: assembled("[" * 1300, "{}", loot.secret)),
    "too long": (INVALID, lambda loot: loot.signed(username="x" * 3000)),
    "as long as the gateway lets it be": (INVALID, lambda loot: "x" * 20_000),
    "nonsense": (INVALID, lambda loot: "nonsense"),
    # Taken back
    "after a logout": (REVOKED, lambda loot: loot.ended),
    # API keys
    "an API key that never was": (INVALID, lambda loot: "amk_" + "A" * 43),
    "an API key's prefix": (INVALID, lambda loot: loot.api_key[:10]),
    "an API key without its last character": (INVALID, lambda loot: loot.api_key[:-1]),
    "an API key with one more character": (INVALID, lambda loot: loot.api_key + "A"),
    "an API key in upper case": (INVALID, lambda loot: "amk_" + loot.api_key[4:].swapcase()),
    "a revoked API key": (REVOKED, lambda loot: loot.revoked_key),
    "an expired API key": (EXPIRED, lambda loot: loot.expired_key),
}
"""Sent as `authorization: Bearer …`."""

HEADERS: dict[str, tuple[str, Callable[[Loot], Headers]]] = {
    "nothing": (INVALID, lambda loot: []),
    "an empty header": (INVALID, lambda loot: [("authorization", "")]),
    "a scheme alone": (INVALID, lambda loot: [("authorization", "Bearer")]),
    "a token alone": (INVALID, lambda loot: [("authorization", loot.good)]),
    "another scheme": (INVALID, lambda loot: [("authorization", f"Basic {loot.good}")]),
    "two tokens in a header": (INVALID, lambda loot: [("authorization", f"Bearer {loot.good}, Bearer {loot.good}")]),
    "two words after the scheme": (INVALID, lambda loot: [("authorization", f"Bearer {loot.good} x")]),
    "the same header twice": (INVALID, lambda loot: [("authorization", f"Bearer {loot.good}")] * 2),
    "a good and a bad header": (INVALID, lambda loot: [("authorization", "Bearer bad"), ("authorization", f"Bearer {loot.good}")]),
    "both headers": (INVALID, lambda loot: [("authorization", f"Bearer {loot.good}"), ("x-api-key", loot.api_key)]),
    "the key header twice": (INVALID, lambda loot: [("x-api-key", loot.api_key)] * 2),
    "an access token as a key": (INVALID, lambda loot: [("x-api-key", loot.good)]),
    "a scheme in the key header": (INVALID, lambda loot: [("x-api-key", f"Bearer {loot.api_key}")]),
    "an empty key": (INVALID, lambda loot: [("x-api-key", "")]),
    "a revoked key in its header": (REVOKED, lambda loot: [("x-api-key", loot.revoked_key)]),
    "a cookie": (INVALID, lambda loot: [("cookie", f"access_token={loot.good}")]),
    "a proxy's header": (INVALID, lambda loot: [("proxy-authorization", f"Bearer {loot.good}")]),
}


def as_bearer(forge: Forge) -> Callable[[Loot], Headers]:
    """Shows what is forged."""
    return lambda loot: [("authorization", f"Bearer {forge(loot)}")]


ATTACKS = {**{name: (reason, as_bearer(forge)) for name, (reason, forge) in TOKENS.items()}, **HEADERS}
GOOD: dict[str, Callable[[Loot], Headers]] = {
    "an access token": lambda loot: [("authorization", f"Bearer {loot.good}")],
    "the scheme in lower case": lambda loot: [("authorization", f"bearer {loot.good}")],
    "the scheme in capitals": lambda loot: [("authorization", f"BEARER {loot.good}")],
    "two spaces": lambda loot: [("authorization", f"Bearer  {loot.good}")],
    "an API key": lambda loot: [("authorization", f"Bearer {loot.api_key}")],
    "an API key in its header": lambda loot: [("x-api-key", loot.api_key)],
    "signed here, by another kid": lambda loot: [("authorization", f"Bearer {loot.signed({'kid': 'any'})}")],
}
"""What is let in: the attacks above are not refused because everything is."""
