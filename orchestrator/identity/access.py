"""Which user a request is about, and whether the caller may look at or act on that user's account."""

from typing import Protocol

from mesh.security.caller import Caller, Role
from orchestrator.identity.errors import UserNotFound
from orchestrator.identity.ports import IdentityStore
from orchestrator.policy.model import Action


class Policy(Protocol):
    """Decides about actions; implemented by `orchestrator.policy.service.PolicyService`."""

    async def check(self, who: Caller, action: Action) -> None:
        """Returns if the caller may do it. Raises PolicyDenied."""
        ...


class AccountAccess:
    """Users manage their own account, administrators everybody's."""

    def __init__(self, store: IdentityStore, policy: Policy) -> None:
        self._store = store
        self._policy = policy

    async def user(self, caller: Caller, user_id: int, action: Action) -> int:
        """The id of the user that is meant: the caller for 0. Raises UserNotFound and, for an administrator, PolicyDenied."""
        if user_id in (0, caller.user_id):
            return caller.user_id
        await self.of_another_user(caller, action, UserNotFound.of(user_id))
        if await self._store.user(user_id) is None:
            raise UserNotFound.of(user_id)
        return user_id

    async def of_another_user(self, caller: Caller, action: Action, not_found: Exception) -> None:
        """Returns if the caller may do this to another user's account. Raises `not_found` for other users than administrators."""
        if caller.role is not Role.ADMIN:
            raise not_found
        await self._policy.check(caller, action)

    async def administrator(self, caller: Caller, action: Action) -> None:
        """Returns if the caller may do this to every account. Raises PolicyDenied."""
        await self._policy.check(caller, action)
