"""Call tokens: each lets one call into one agent (architecture, decision 7).

A token is a compact JWS (RFC 7515) signed with Ed25519. Its header is the same for every token of a key, so a verifier compares it as
a whole with those that its keys would write: there is no algorithm to choose and no key id to look up, and a token of another kind
that the same key may have signed is none of ours. libsodium signs and checks: it takes less than half of OpenSSL's CPU for it.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe
from time import monotonic, time

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from mesh.errors import ServiceUnavailable
from mesh.json_encoding import to_json
from mesh.security.errors import InvalidCredentials, TokenExpired
from mesh.security.identities import CALLERS_OF_AGENTS

CALL_TOKEN_KEY = "x-mesh-call-token"
"""The metadata in which a token travels. The gateway lets no `x-mesh-` header in from outside."""
LIFETIME_SECONDS = 60
LEEWAY_SECONDS = 5
"""How far the clocks of two hosts may be apart."""
LONGEST_TOKEN = 2048
HOST_START = "host_start"
"""The detail of a refusal that names the host's start: mint the next token for it."""
MOST_REMEMBERED = 100_000
"""Used tokens that a host keeps in mind, some 20 MB: 1,500 calls a second for as long as a token can be accepted."""


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
    """The host's start that the token is for; None if the caller is of a release that knew no starts."""


class CallTokenSigner:
    """Mints the tokens of one service."""

    def __init__(self, key: Ed25519PrivateKey, issuer: str) -> None:
        self._key = SigningKey(key.private_bytes_raw())
        self._issuer = issuer
        self._header = _header(key.public_key())

    def mint(self, *, agent_id: str, user_id: int, execution_id: str, host_start: str | None = None) -> str:
        """A token for one call to `agent_id`, valid for 60 s.

        `host_start` is what the host told in its last refusal, or empty if it has told nothing yet.
        """
        now = time()
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

    def __init__(self, keys: Sequence[Ed25519PublicKey]) -> None:
        self._keys = {_header(key): VerifyKey(key.public_bytes_raw()) for key in keys}
        self._clock_offset = time() - monotonic()
        self._start()

    def read(self, token: str | None) -> CallClaims:
        """The claims of a genuine token. Raises InvalidCredentials, and TokenExpired for a token that was valid."""
        if not token:
            raise InvalidCredentials(f"an agent takes calls from the platform alone: the metadata {CALL_TOKEN_KEY} must carry a call token")
        claims = _claims(self._signed_part(token))
        now = time()
        if claims.issuer not in CALLERS_OF_AGENTS:
            raise InvalidCredentials("the call token was minted by a service that may not call agents")
        if claims.expires_at + LEEWAY_SECONDS <= now:
            raise TokenExpired(f"the call token has expired; one is good for {LIFETIME_SECONDS} s and made for each call anew")
        if claims.issued_at - LEEWAY_SECONDS > now:
            raise InvalidCredentials("the call token was minted in the future; the clocks of the hosts differ by more than 5 s")
        if not claims.issued_at <= claims.expires_at <= claims.issued_at + LIFETIME_SECONDS + 1:
            raise InvalidCredentials(f"the call token is good for longer than {LIFETIME_SECONDS} s")
        self._check_start(claims)
        return claims

    def use(self, claims: CallClaims, *, agent_id: str, execution_id: str) -> None:
        """Uses a genuine token up, for one execution of one agent. Raises InvalidCredentials when it is for another or was used.

        ServiceUnavailable when the host would have to remember more tokens than it can.
        """
        if claims.agent_id != agent_id:
            raise InvalidCredentials("the call token is for another agent", agent_id=agent_id)
        if claims.execution_id != execution_id:
            raise InvalidCredentials("the call token is for another execution", execution_id=execution_id)
        self._used.add(claims.token_id, claims.expires_at + LEEWAY_SECONDS, time())

    def _start(self) -> None:
        self._used = UsedTokens(MOST_REMEMBERED)
        self._began = time()
        self.host_start = token_urlsafe(12)

    def _check_start(self, claims: CallClaims) -> None:
        offset = time() - monotonic()
        if offset < self._clock_offset - LEEWAY_SECONDS:
            # The clock was set back. Used tokens would be remembered for too long, and could be valid again later.
            self._clock_offset = offset
            self._start()
        self._clock_offset = max(self._clock_offset, offset)
        if claims.host_start is None:  # minted by the previous release: all that is known is when
            if claims.issued_at < self._began:
                raise InvalidCredentials("the call token was minted before this host began; it may have been used already")
        elif claims.host_start != self.host_start:
            message = "the call token is for an earlier start of this host; mint one for the start in the details"
            raise InvalidCredentials(message, host_start=self.host_start)

    def _signed_part(self, token: str) -> bytes:
        """The payload, once the signature over it has been checked."""
        if len(token) > LONGEST_TOKEN:
            raise InvalidCredentials(f"the call token is longer than {LONGEST_TOKEN} bytes")
        header, _, rest = token.partition(".")
        payload, _, signature = rest.partition(".")
        key = self._keys.get(header)
        if key is None:
            raise InvalidCredentials("the call token is malformed, or signed with a key that this host does not know")
        try:
            key.verify(f"{header}.{payload}".encode(), _decoded(signature))
        except (BadSignatureError, ValueError):
            raise InvalidCredentials("the signature of the call token is wrong") from None
        return _decoded(payload)


class UsedTokens:
    """The ids of used tokens, each until it could not be accepted anyway."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ids: set[str] = set()
        self._ends: deque[tuple[float, str]] = deque()

    def add(self, token_id: str, until: float, now: float) -> None:
        """Remembers an id until then. Raises InvalidCredentials when it is known, ServiceUnavailable when there is no room."""
        while self._ends and self._ends[0][0] <= now:
            self._ids.discard(self._ends.popleft()[1])
        if token_id in self._ids:
            raise InvalidCredentials("the call token has been used; one is made for each call")
        if len(self._ids) >= self._most:
            raise ServiceUnavailable(f"this host has taken {self._most} calls within a minute and takes no more; share its agents out")
        self._ids.add(token_id)
        self._ends.append((until, token_id))

    def __len__(self) -> int:
        return len(self._ids)


def _header(key: Ed25519PublicKey) -> str:
    key_id = _encoded(sha256(key.public_bytes_raw()).digest()[:12])
    return _encoded(to_json({"alg": "EdDSA", "typ": "call+jwt", "kid": key_id}))


def _claims(payload: bytes) -> CallClaims:
    try:
        said = orjson.loads(payload)
        return CallClaims(
            issuer=str(said["iss"]),
            agent_id=str(said["aud"]),
            user_id=int(said["sub"]),
            execution_id=str(said["execution_id"]),
            issued_at=float(said["iat"]),
            expires_at=float(said["exp"]),
            token_id=str(said["jti"]),
            host_start=str(said["host"]) if "host" in said else None,
        )
    except (ValueError, TypeError, KeyError):
        raise InvalidCredentials("the call token does not say what a call token says") from None


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
