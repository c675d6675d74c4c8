"""Listing and ending sessions."""

from uuid import UUID

from mesh.security.caller import Caller
from orchestrator.identity.access import AccountAccess
from orchestrator.identity.errors import SessionNotFound
from orchestrator.identity.model import Action, AuditEntry, Origin, Page, Session
from orchestrator.identity.ports import IdentityLists, IdentityStore, RevocationList
from orchestrator.policy.model import Action as Wanted


class SessionService:
    """The sessions of users, which users and administrators can end."""

    def __init__(self, store: IdentityStore, lists: IdentityLists, access: AccountAccess, revocations: RevocationList) -> None:
        self._store = store
        self._lists = lists
        self._access = access
        self._revocations = revocations

    async def list(self, caller: Caller, user_id: int, size: int, after: UUID | None) -> Page[Session]:
        """The sessions of a user (0: the caller) that are still good. Raises UserNotFound and PolicyDenied."""
        return await self._lists.sessions(await self._access.user(caller, user_id, Wanted.INSPECT), size, after)

    async def revoke(self, caller: Caller, session_id: UUID, origin: Origin) -> None:
        """Ends a session. Raises SessionNotFound, and PolicyDenied for an administrator whose key may not."""
        async with self._store.begin() as work:
            session = await work.end_session(session_id)
            if session is None:
                raise SessionNotFound.of(session_id)
            if session.user_id != caller.user_id:
                await self._access.of_another_user(caller, Wanted.ADMINISTER, SessionNotFound.of(session_id))
            details = {"session_id": str(session_id)}
            await work.audit(AuditEntry(Action.LOGGED_OUT, caller.user_id, f"user:{session.user_id}", origin, details))
        await self._revocations.add([session])

    async def revoke_all(self, caller: Caller, user_id: int, *, keep_current: bool, origin: Origin) -> int:
        """Ends all sessions of a user (0: the caller); returns how many. Raises UserNotFound and PolicyDenied."""
        whose = await self._access.user(caller, user_id, Wanted.ADMINISTER)
        async with self._store.begin() as work:
            ended = await work.end_sessions_of(whose, caller.session_id if keep_current else None)
            details = {"sessions": len(ended)}
            await work.audit(AuditEntry(Action.LOGGED_OUT, caller.user_id, f"user:{whose}", origin, details))
        await self._revocations.add(ended)
        return len(ended)
