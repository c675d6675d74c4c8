"""The errors of credentials.

MeshError
├── InvalidCredentials    AUTH_INVALID_CREDENTIALS
├── TokenExpired          AUTH_TOKEN_EXPIRED
├── TokenRevoked          AUTH_TOKEN_BLACKLISTED
└── ScopeMissing          POLICY_DENIED
"""

from mesh.errors import MeshError
from mesh.security.caller import Scope


class InvalidCredentials(MeshError):
    """The credential is missing, malformed, forged or wrong."""

    reason = "AUTH_INVALID_CREDENTIALS"


class TokenExpired(MeshError):
    """The credential has expired."""

    reason = "AUTH_TOKEN_EXPIRED"


class TokenRevoked(MeshError):
    """The credential has been revoked."""

    reason = "AUTH_TOKEN_BLACKLISTED"


class ScopeMissing(MeshError):
    """The credential is valid but lacks a scope."""

    reason = "POLICY_DENIED"

    @classmethod
    def of(cls, scope: Scope) -> "ScopeMissing":
        """The error of a credential that lacks `scope`."""
        return cls(f"this API key lacks the scope `{scope}`; use a key that has it, or log in", rule="missing_scope", scope=scope.value)
