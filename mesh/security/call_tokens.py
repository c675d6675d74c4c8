"""Call tokens: each admits one call to one agent.

A token is a compact JWS (RFC 7515) signed with Ed25519. All tokens of a key have the same header, so a verifier compares it as a whole
with the headers of its keys. There is no algorithm to choose and no key id to look up, and a token of another type that the same key may
have signed is refused. libsodium signs and verifies, with less than half of OpenSSL's CPU.

The encoding is implemented here instead of using PyJWT, which parses the header of every token: with an algorithm class on libsodium,
minting and verifying a token took at least 10 % longer, and both are part of every call to an agent.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.documents.json_encoding import to_json
from mesh.errors import ServiceUnavailable
from mesh.security.errors import InvalidCredentials, TokenExpired
from mesh.security.identities import CALLERS_OF_AGENTS

CALL_TOKEN_KEY = "x-mesh-call-token"
"""The metadata key of a call token. The gateway removes `x-mesh-` headers from external requests."""
LIFETIME_SECONDS = 60
LEEWAY_SECONDS = 5
"""By how much the clocks of two hosts may differ."""
LONGEST_TOKEN = 2048
HOST_START = "host_start"
"""The detail of a refusal that names the host's start: mint the next token for it."""
MOST_REMEMBERED = 100_000
"""The number of used tokens that a host remembers, about 20 MB: 1,500 calls a second for as long as a token is valid."""


@dataclass(frozen=True, slots=True)
class CallClaims:
    """The claims of a token. Times are seconds since the epoch; `issuer` is the SPIFFE id of the service that minted it."""

    issuer: str
    agent_id: str
    user_id: int
    execution_id: str
    issued_at: float
    expires_at: float
    token_id: str
    host_start: str | None = None
    """The id of the host's start that the token is for. None if the caller's release does not send it."""


class CallTokenSigner:
    """Mints the tokens of one service."""

    def __init__(self, key: Ed25519PrivateKey, issuer: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._time = clock.time
        self._key = SigningKey(key.private_bytes_raw())
        self._issuer = issuer
        self._header = _header(key.public_key())

    def mint(self, *, agent_id: str, user_id: int, execution_id: str, host_start: str | None = None) -> str:
        """A token for one call to `agent_id`, valid for 60 s.

        `host_start` is the id from the host's last refusal, or empty if there was none yet.
        """
        now = self._time()
        claims = {
            "iss": self._issuer,
            "aud": agent_id,
            "sub": str(user_id),
            "execution_id": execution_id,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            "jti": token_urlsafe(16),
        }
        if host_start is not None:
            claims["host"] = host_start
        signed = f"{self._header}.{_encoded(to_json(claims))}"
        return f"{signed}.{_encoded(self._key.sign(signed.encode()).signature)}"


class CallTokenVerifier:
    """Checks tokens for one host and accepts each once.

    A host does not remember what it accepted before it was restarted. So a token names the start of the host that it is for, a random
    id. A caller learns it from the refusal of its first token, which buys nothing. No clock is involved: when the clock was set back,
    tokens of earlier starts would look new, and new ones would look too old.
    """

    def __init__(self, keys: Sequence[Ed25519PublicKey], clock: Clock = SYSTEM_CLOCK) -> None:
        self._time, self._monotonic = clock.time, clock.monotonic
        self._keys = {_header(key): VerifyKey(key.public_bytes_raw()) for key in keys}
        self._clock_offset = self._time() - self._monotonic()
        self._start()

    def read(self, token: str | None) -> CallClaims:
        """The claims of a genuine token. Raises InvalidCredentials, and TokenExpired for a token that was valid."""
        if not token:
            raise InvalidCredentials(f"only the platform may call agents: the metadata {CALL_TOKEN_KEY} must carry a call token")
        claims = _claims(self._signed_part(token))
        now = self._time()
        if claims.issuer not in CALLERS_OF_AGENTS:
            raise InvalidCredentials(f"the call token was minted by a service that may not call agents: {claims.issuer[:100]}")
        if claims.expires_at + LEEWAY_SECONDS <= now:
            raise TokenExpired(f"the call token has expired; it is valid for {LIFETIME_SECONDS} s, so mint one for each call")
        if claims.issued_at - LEEWAY_SECONDS > now:
            raise InvalidCredentials(
                f"the call token was minted in the future: synchronise the clocks, which differ by over {LEEWAY_SECONDS} s"
            )
        if not claims.issued_at <= claims.expires_at <= claims.issued_at + LIFETIME_SECONDS + 1:
            raise InvalidCredentials(f"the call token is valid for longer than the {LIFETIME_SECONDS} s allowed")
        self._check_start(claims, now)
        return claims

    def use(self, claims: CallClaims, *, agent_id: str, execution_id: str) -> None:
        """Marks a genuine token as used, for one execution of one agent.

        Raises InvalidCredentials if it is for another agent or execution, or was already used, and ServiceUnavailable if the host already
        remembers as many tokens as it can.
        """
        if claims.agent_id != agent_id:
            raise InvalidCredentials("the call token is for another agent", agent_id=agent_id)
        if claims.execution_id != execution_id:
            raise InvalidCredentials("the call token is for another execution", execution_id=execution_id)
        self._used.add(claims.token_id, claims.expires_at + LEEWAY_SECONDS, self._time())

    def _start(self) -> None:
        self._used = UsedTokens(MOST_REMEMBERED)
        self._began = self._time()
        self.host_start = token_urlsafe(12)

    def _check_start(self, claims: CallClaims, now: float) -> None:
        offset = now - self._monotonic()
        if offset < self._clock_offset - LEEWAY_SECONDS:
            # The clock was set back. Used tokens would be remembered for too long, and could be valid again later.
            self._clock_offset = offset
            self._start()
        self._clock_offset = max(self._clock_offset, offset)
        if claims.host_start is None:  # minted by the previous release: only the time is known
            if claims.issued_at < self._began:
                raise InvalidCredentials(
                    "the call token was minted before this host was started and may have been used; mint one for each call"
                )
        elif claims.host_start != self.host_start:
            message = "the call token is for an earlier start of this host; mint one for the start in the details"
            raise InvalidCredentials(message, host_start=self.host_start)

    def _signed_part(self, token: str) -> bytes:
        """The payload, after its signature was verified."""
        if len(token) > LONGEST_TOKEN:
            raise InvalidCredentials(f"the call token has {len(token)} bytes; the limit is {LONGEST_TOKEN}")
        header, _, rest = token.partition(".")
        payload, _, signature = rest.partition(".")
        key = self._keys.get(header)
        if key is None:
            raise InvalidCredentials(
                "the call token is malformed or signed with a key that this host does not know; check CALL_TOKEN_PUBLIC_KEY"
            )
        try:
            key.verify(f"{header}.{payload}".encode(), _decoded(signature))
        except (BadSignatureError, ValueError):
            raise InvalidCredentials("the signature of the call token is invalid") from None
        return _decoded(payload)


class UsedTokens:
    """The ids of used tokens, each for as long as the token is valid."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ids: set[str] = set()
        self._ends: deque[tuple[float, str]] = deque()

    def add(self, token_id: str, until: float, now: float) -> None:
        """Remembers an id until `until`. Raises InvalidCredentials if it was added before, ServiceUnavailable if there is no room."""
        while self._ends and self._ends[0][0] <= now:
            self._ids.discard(self._ends.popleft()[1])
        if token_id in self._ids:
            raise InvalidCredentials("the call token has been used; mint one for each call")
        if len(self._ids) >= self._most:
            raise ServiceUnavailable(
                f"this host reached its limit of {self._most} calls within a minute; try again, or use more agent shards"
            )
        self._ids.add(token_id)
        self._ends.append((until, token_id))

    def __len__(self) -> int:
        return len(self._ids)


def _header(key: Ed25519PublicKey) -> str:
    key_id = _encoded(sha256(key.public_bytes_raw()).digest()[:12])
    return _encoded(to_json({"alg": "EdDSA", "typ": "call+jwt", "kid": key_id}))


def _claims(payload: bytes) -> CallClaims:
    try:
        claims = orjson.loads(payload)
        return CallClaims(
            issuer=str(claims["iss"]),
            agent_id=str(claims["aud"]),
            user_id=int(claims["sub"]),
            execution_id=str(claims["execution_id"]),
            issued_at=float(claims["iat"]),
            expires_at=float(claims["exp"]),
            token_id=str(claims["jti"]),
            host_start=str(claims["host"]) if "host" in claims else None,
        )
    except (ValueError, TypeError, KeyError):
        raise InvalidCredentials("the call token has missing or invalid claims") from None


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
