"""What a caller is told who is not let in.

MeshError
├── InvalidCredentials   AUTH_INVALID_CREDENTIALS
└── TokenExpired         AUTH_TOKEN_EXPIRED
"""

from mesh.errors import MeshError


class InvalidCredentials(MeshError):
    """What the caller showed, or did not show, lets nobody in."""

    reason = "AUTH_INVALID_CREDENTIALS"


class TokenExpired(MeshError):
    """The token was good, and its time is over."""

    reason = "AUTH_TOKEN_EXPIRED"
