"""The tokens of a session: what they look like, and how one follows from another. Nothing here is stored but hashes."""

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from mesh.security.tokens import AccessTokens
from orchestrator.identity.model import User

REFRESH_PREFIX = "amr_"
KEY_PREFIX = "amk_"
SECRET_BYTES = 32


class SessionTokens:
    """Makes access and refresh tokens. A refresh token's successor follows from it and a secret, so that it can be said again."""

    def __init__(self, access: AccessTokens, secrets_: Sequence[str]) -> None:
        self._access = access
        self._refresh_keys = [hmac.digest(secret.encode(), b"agentmesh refresh tokens", "sha256") for secret in secrets_]

    @property
    def access_seconds(self) -> int:
        """For how long access tokens are good."""
        return self._access.lifetime_seconds

    def access(self, user: User, session_id: UUID) -> tuple[str, datetime]:
        """A new access token of the session, and when it expires."""
        token, expires_at = self._access.issue(user.user_id, user.username, f"{session_id.hex}.{secrets.token_hex(8)}")
        return token, datetime.fromtimestamp(expires_at, UTC)

    def first(self) -> str:
        """The refresh token of a new session."""
        return _text(REFRESH_PREFIX, secrets.token_bytes(SECRET_BYTES))

    def successor(self, token: str) -> str:
        """The refresh token that follows."""
        return _successor(token, self._refresh_keys[0])

    def repeated(self, token: str, successor_hash: bytes | None) -> str | None:
        """The successor that the token was answered with; None when its secret is not known any more."""
        known = (_successor(token, key) for key in self._refresh_keys)
        return next((successor for successor in known if hashed(successor) == successor_hash), None)


def session_of(token_id: str) -> UUID:
    """The session of an access token, by its verified `jti`."""
    return UUID(hex=token_id.partition(".")[0])


def new_key() -> str:
    """The secret of a new API key."""
    return _text(KEY_PREFIX, secrets.token_bytes(SECRET_BYTES))


def hashed(token: str) -> bytes:
    """What is stored of a token. It has 256 random bits: nothing slower is needed."""
    return sha256(token.encode()).digest()


def _successor(token: str, key: bytes) -> str:
    return _text(REFRESH_PREFIX, hmac.digest(key, token.encode(), "sha256"))


def _text(prefix: str, secret: bytes) -> str:
    return prefix + urlsafe_b64encode(secret).decode().rstrip("=")
