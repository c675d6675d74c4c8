"""What can go wrong with users and keys.

MeshError
├── UsernameTaken       USERNAME_TAKEN
├── ApiKeyNotFound      API_KEY_NOT_FOUND
└── TooManyAttempts     RATE_LIMIT_EXCEEDED

A wrong name or password is InvalidCredentials of `mesh.security.errors`.
"""

from mesh.errors import MeshError


class UsernameTaken(MeshError):
    """Another user has the name."""

    reason = "USERNAME_TAKEN"


class ApiKeyNotFound(MeshError):
    """The caller has no such API key."""

    reason = "API_KEY_NOT_FOUND"


class TooManyAttempts(MeshError):
    """More passwords wait to be hashed than this process takes."""

    reason = "RATE_LIMIT_EXCEEDED"
