"""The caller of the current call: set by the authentication interceptor, visible to everything that runs for the call."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """A user's role. The policy defines what each role may do."""

    USER = "user"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a credential may be used for, within what its user may do."""

    READ = "read"
    EXECUTE = "execute"
    MANAGE = "manage"


EVERY_SCOPE = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Caller:
    """The user who makes a call, and the credential that they presented."""

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
        """The user whose objects the caller sees; None if the caller sees every user's."""
        return None if self.role is Role.ADMIN else self.user_id


_current: ContextVar[Caller | None] = ContextVar("caller", default=None)
_address: ContextVar[Callable[[], str]] = ContextVar("caller_address", default=str)


def adopt(caller: Caller, address: Callable[[], str] = str) -> None:
    """Sets the caller of this task and of the tasks it starts. `address` is called only when it is needed."""
    _current.set(caller)
    _address.set(address)


def current() -> Caller:
    """The caller. Raises LookupError if no caller is authenticated, for example in an rpc that needs no credential."""
    caller = _current.get()
    if caller is None:
        raise LookupError("no caller is authenticated in this task")
    return caller


def current_address() -> str:
    """The address that the call came from; empty outside a call, e.g. in a worker."""
    return _address.get()()
