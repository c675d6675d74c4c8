"""Why a caller is not let in.

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
    """The credential was good once, and its time is over."""

    reason = "AUTH_TOKEN_EXPIRED"


class TokenRevoked(MeshError):
    """The credential was good once, and has been taken back."""

    reason = "AUTH_TOKEN_BLACKLISTED"


class ScopeMissing(MeshError):
    """The credential is good, and was not made for this rpc."""

    reason = "POLICY_DENIED"

    @classmethod
    def of(cls, scope: Scope) -> "ScopeMissing":
        """The error of a credential that lacks `scope`."""
        return cls(f"this needs the scope `{scope}`, which the API key does not have", rule="missing_scope", scope=scope.value)
