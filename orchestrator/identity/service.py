"""Users and their sessions."""

from uuid import UUID

from uuid_utils.compat import uuid7

from mesh.errors import ValidationFailed
from mesh.security.caller import Caller, Role
from mesh.security.errors import InvalidCredentials, TokenExpired
from orchestrator.identity.authentication import check_enabled
from orchestrator.identity.errors import UsernameTaken
from orchestrator.identity.events import user_logged_in, user_registered
from orchestrator.identity.model import (
    LONGEST_PASSWORD_BYTES,
    USERNAME,
    Action,
    AuditEntry,
    Credentials,
    Origin,
    RefreshRecord,
    TokenPair,
    User,
)
from orchestrator.identity.ports import IdentityStore, IdentityWork, Passwords, RevocationList
from orchestrator.identity.sessions import SessionTokens, hashed

REPEATABLE_SECONDS = 10.0
"""For so long a refresh token that comes again is taken for a client that missed the answer, not for a thief."""


class IdentityService:
    """Registers users, and begins, continues and ends their sessions."""

    def __init__(self, store: IdentityStore, passwords: Passwords, tokens: SessionTokens, revocations: RevocationList) -> None:
        self._store = store
        self._passwords = passwords
        self._tokens = tokens
        self._revocations = revocations

    async def register(self, username: str, password: str, origin: Origin) -> User:
        """A new user. Raises UsernameTaken, TooManyAttempts, or ValidationFailed for a password that is too long."""
        check_password(password)
        async with self._passwords.turn():
            if await self._store.credentials(username) is not None:
                raise _taken(username)
            password_hash = await self._passwords.hash(password)
        async with self._store.begin() as work:
            user = await work.add_user(username, password_hash, Role.USER)
            if user is None:
                raise _taken(username)
            await work.publish(user_registered(user, origin))
            await work.audit(AuditEntry(Action.REGISTERED, user.user_id, user.username, origin))
        return user

    async def login(self, username: str, password: str, origin: Origin) -> TokenPair:
        """The tokens of a new session.

        Raises InvalidCredentials, as slowly for an unknown name as for a wrong password; TooManyAttempts, or ValidationFailed for a
        password that is too long.
        """
        check_password(password)
        async with self._passwords.turn():
            known = await self._store.credentials(username) if USERNAME.fullmatch(username) else None
            fits = await self._passwords.fits(password, known.password_hash if known else None)
        if known is None or not fits:
            await self._refused(username, known, origin)
            raise InvalidCredentials("the user name or the password is wrong")
        check_enabled(known.user)
        return await self._begin_session(known.user, origin)

    async def refresh(self, refresh_token: str, origin: Origin) -> TokenPair:
        """The next tokens of a session. Raises InvalidCredentials or TokenExpired.

        A token that was used more than 10 s ago ends the session: either it or its successor is a thief's.
        """
        token_hash = hashed(refresh_token)
        async with self._store.begin() as work:
            record = await work.refresh_token(token_hash)
            if record is None or record.revoked:
                raise InvalidCredentials("the refresh token is not known, or its session has ended; log in again")
            if record.expired:
                raise TokenExpired("the refresh token has expired; log in again")
            check_enabled(record.user)
            if (successor := self._next(refresh_token, record)) is not None:
                if record.used_seconds_ago is None:
                    await work.use_refresh_token(token_hash, hashed(successor))
                    await work.add_refresh_token(hashed(successor), record.session_id)
                return await self._answer(work, record.user, record.session_id, successor)
            await work.end_session(record.session_id)
            await work.audit(AuditEntry(Action.REFRESH_REUSED, record.user.user_id, record.user.username, origin))
        await self._revocations.add(record.session_id, record.access_until)
        raise InvalidCredentials("the refresh token was used before: its session has ended, in case it was stolen; log in again")

    async def logout(self, caller: Caller, origin: Origin) -> None:
        """Ends the session of the access token. Raises InvalidCredentials for an API key."""
        session_id = caller.session_id
        if session_id is None:
            raise InvalidCredentials("an API key has no session to end; revoke the key instead")
        async with self._store.begin() as work:
            until = await work.end_session(session_id)
            await work.audit(AuditEntry(Action.LOGGED_OUT, caller.user_id, caller.username, origin))
        if until is not None:
            await self._revocations.add(session_id, until)

    async def user(self, user_id: int) -> User:
        """The user behind a caller. Raises InvalidCredentials when there is none any more."""
        user = await self._store.user(user_id)
        if user is None:
            raise InvalidCredentials("the user of this credential does not exist")
        return user

    async def _begin_session(self, user: User, origin: Origin) -> TokenPair:
        session_id: UUID = uuid7()
        refresh_token = self._tokens.first()
        async with self._store.begin() as work:
            access_token, until = self._tokens.access(user, session_id)
            await work.open_session(session_id, user.user_id, until)
            await work.add_refresh_token(hashed(refresh_token), session_id)
            await work.publish(user_logged_in(user, origin))
            await work.audit(AuditEntry(Action.LOGGED_IN, user.user_id, user.username, origin))
        return TokenPair(access_token, self._tokens.access_seconds, refresh_token)

    async def _answer(self, work: IdentityWork, user: User, session_id: UUID, refresh_token: str) -> TokenPair:
        access_token, until = self._tokens.access(user, session_id)
        await work.extend_session(session_id, until)
        return TokenPair(access_token, self._tokens.access_seconds, refresh_token)

    def _next(self, refresh_token: str, record: RefreshRecord) -> str | None:
        """The successor to answer with; None for a token that nobody honest sends."""
        if record.used_seconds_ago is None:
            return self._tokens.successor(refresh_token)
        if record.used_seconds_ago > REPEATABLE_SECONDS:
            return None
        return self._tokens.repeated(refresh_token, record.successor_hash)

    async def _refused(self, username: str, known: Credentials | None, origin: Origin) -> None:
        # What is no name may be a password in the wrong field, and is not kept.
        subject = username if USERNAME.fullmatch(username) else ""
        async with self._store.begin() as work:
            await work.audit(AuditEntry(Action.LOGIN_FAILED, known.user.user_id if known else None, subject, origin))


def check_password(password: str) -> None:
    """Raises ValidationFailed for a password of more than 72 bytes."""
    if len(password.encode()) > LONGEST_PASSWORD_BYTES:
        raise ValidationFailed.of("password", f"must be at most {LONGEST_PASSWORD_BYTES} bytes long in UTF-8")


def _taken(username: str) -> UsernameTaken:
    return UsernameTaken(f"another user has the name '{username}'; choose another one", username=username)
