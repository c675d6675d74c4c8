"""The errors of identity.

MeshError
├── UsernameTaken          USERNAME_TAKEN
├── UserNotFound           USER_NOT_FOUND
├── ApiKeyNotFound         API_KEY_NOT_FOUND
├── SessionNotFound        SESSION_NOT_FOUND
└── RegistrationClosed     REGISTRATION_CLOSED

A wrong user name or password is InvalidCredentials of `mesh.security.errors`.
"""

from uuid import UUID

from mesh.errors import MeshError


class UsernameTaken(MeshError):
    """Another user has the name, or the name is reserved."""

    reason = "USERNAME_TAKEN"


class UserNotFound(MeshError):
    """There is no such user, or the caller may not see it."""

    reason = "USER_NOT_FOUND"

    @classmethod
    def of(cls, user_id: int) -> "UserNotFound":
        """The error for this user."""
        return cls(f"user {user_id} not found; administrators list all users with GET /api/v1/users", user_id=str(user_id))


class ApiKeyNotFound(MeshError):
    """There is no such API key, or it belongs to another user."""

    reason = "API_KEY_NOT_FOUND"

    @classmethod
    def of(cls, api_key_id: UUID) -> "ApiKeyNotFound":
        """The error for this key."""
        return cls(f"API key '{api_key_id}' not found; GET /api/v1/auth/api-keys lists yours", api_key_id=str(api_key_id))


class SessionNotFound(MeshError):
    """There is no such session, it has ended, or it belongs to another user."""

    reason = "SESSION_NOT_FOUND"

    @classmethod
    def of(cls, session_id: UUID) -> "SessionNotFound":
        """The error for this session."""
        return cls(f"session '{session_id}' not found; GET /api/v1/auth/sessions lists yours", session_id=str(session_id))


class RegistrationClosed(MeshError):
    """Only administrators create users here."""

    reason = "REGISTRATION_CLOSED"
