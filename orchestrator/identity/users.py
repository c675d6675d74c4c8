"""Administration of users by API, and the audit log."""

from mesh.errors import ValidationFailed
from mesh.security.caller import Caller, Role
from orchestrator.identity.access import AccountAccess
from orchestrator.identity.errors import UserNotFound
from orchestrator.identity.events import user_registered
from orchestrator.identity.model import Action, AuditEntry, AuditRecord, Origin, Page, Session, User, check_new_password
from orchestrator.identity.ports import IdentityLists, IdentityStore, IdentityWork, Passwords, RevocationList
from orchestrator.identity.service import taken
from orchestrator.policy.model import Action as Wanted


class UserService:
    """Creates, lists and changes users. Everything here is for administrators: others get PolicyDenied."""

    def __init__(
        self, store: IdentityStore, lists: IdentityLists, access: AccountAccess, passwords: Passwords, revocations: RevocationList
    ) -> None:
        self._store = store
        self._lists = lists
        self._access = access
        self._passwords = passwords
        self._revocations = revocations

    async def create(self, caller: Caller, username: str, password: str, role: Role, origin: Origin) -> User:
        """A new user. Raises UsernameTaken, ValidationFailed for the password, RateLimitExceeded."""
        await self._access.administrator(caller, Wanted.ADMINISTER)
        check_new_password(password)
        async with self._passwords.turn(origin.ip, username):
            password_hash = await self._passwords.hash(password)
        async with self._store.begin() as work:
            user = await work.add_user(username, password_hash, role)
            if user is None:
                raise taken(username)
            await work.publish(user_registered(user, origin))
            details = {"username": username, "role": role.value}
            await work.audit(AuditEntry(Action.USER_CREATED, caller.user_id, f"user:{user.user_id}", origin, details))
        return user

    async def list(self, caller: Caller, username: str, size: int, after: int | None) -> Page[User]:
        """All users by id, or the one with this name."""
        await self._access.administrator(caller, Wanted.INSPECT)
        return await self._lists.users(username, size, after)

    async def update(self, caller: Caller, user_id: int, role: Role | None, disabled: bool | None, origin: Origin) -> User:
        """The changed user. Disabling ends the user's sessions. Every process notices within a second.

        Raises UserNotFound, and ValidationFailed for the caller's own account.
        """
        await self._access.administrator(caller, Wanted.ADMINISTER)
        if user_id == caller.user_id:  # the last administrator would lock everybody out
            field = "disabled" if disabled is not None else "role"
            raise ValidationFailed.of(field, "you cannot change your own account; ask another administrator")
        async with self._store.begin() as work:
            user, ended = await update_user(work, user_id, role, disabled, caller.user_id, origin)
        await self._revocations.add(ended)
        return user

    async def audit_entries(self, caller: Caller, actor_id: int, action: str, size: int, after: int | None) -> Page[AuditRecord]:
        """The audit log, newest entries first."""
        await self._access.administrator(caller, Wanted.INSPECT)
        return await self._lists.audit_entries(actor_id, action, size, after)


async def update_user(
    work: IdentityWork, user_id: int, role: Role | None, disabled: bool | None, actor_id: int | None, origin: Origin
) -> tuple[User, list[Session]]:
    """Changes and audits what is given; returns the user and the sessions that ended. Raises UserNotFound, ValidationFailed."""
    if role is None and disabled is None:
        raise ValidationFailed.of("role", "nothing to change; set role, disabled or both")
    user = await work.update_user(user_id, role=role, disabled=disabled)
    if user is None:
        raise UserNotFound.of(user_id)
    subject, ended = f"user:{user_id}", []
    if role is not None:
        await work.audit(AuditEntry(Action.ROLE_CHANGED, actor_id, subject, origin, {"username": user.username, "role": role.value}))
    if disabled is not None:
        action = Action.USER_DISABLED if disabled else Action.USER_ENABLED
        ended = list(await work.end_sessions_of(user_id)) if disabled else []
        await work.audit(AuditEntry(action, actor_id, subject, origin, {"username": user.username}))
    return user, ended
