"""Who calls: known from the authentication interceptor on, to everything that runs for the call."""

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """What a user may do; the policy gives each role its meaning."""

    USER = "user"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a credential may do of what its user may."""

    READ = "read"
    EXECUTE = "execute"
    MANAGE = "manage"


EVERY_SCOPE = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Caller:
    """The user behind a call, and the credential that was shown."""

    user_id: int
    username: str
    role: Role = Role.USER
    scopes: frozenset[Scope] = EVERY_SCOPE
    api_key_id: UUID | None = None
    """None for an access token."""
    session_id: UUID | None = None
    """The session of the access token, which may have ended; None for an API key."""

    @property
    def sees(self) -> int | None:
        """Whose objects the caller sees: its own user's; None for everybody's."""
        return None if self.role is Role.ADMIN else self.user_id


_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def adopt(caller: Caller) -> None:
    """Makes `caller` the one for whom this task and those it starts run."""
    _current.set(caller)


def current() -> Caller:
    """The caller. LookupError where nobody is authenticated: an open rpc has no business to ask."""
    caller = _current.get()
    if caller is None:
        raise LookupError("nobody is authenticated here")
    return caller
