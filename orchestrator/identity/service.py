"""Registration, logins and passwords."""

from uuid import UUID

from uuid_utils.compat import uuid7

from mesh.errors import ValidationFailed
from mesh.security.caller import Caller, Role
from mesh.security.errors import InvalidCredentials, TokenExpired
from orchestrator.identity.authentication import check_enabled
from orchestrator.identity.errors import RegistrationClosed, UsernameTaken
from orchestrator.identity.events import user_logged_in, user_registered
from orchestrator.identity.model import (
    LONGEST_PASSWORD_BYTES,
    RESERVED_USERNAMES,
    USERNAME,
    Action,
    AuditEntry,
    Credentials,
    Origin,
    RefreshRecord,
    TokenPair,
    User,
    check_new_password,
)
from orchestrator.identity.ports import IdentityStore, IdentityWork, Passwords, RevocationList
from orchestrator.identity.sessions import SessionTokens, hashed

REPEATABLE_SECONDS = 10.0
"""Within this time, a repeated refresh token counts as a client that missed the response; later, as stolen."""


class IdentityService:
    """Registers users; opens, refreshes and ends sessions; changes passwords."""

    def __init__(
        self,
        store: IdentityStore,
        passwords: Passwords,
        tokens: SessionTokens,
        revocations: RevocationList,
        *,
        registration_open: bool = True,
    ) -> None:
        self._registration_open = registration_open
        self._store = store
        self._passwords = passwords
        self._tokens = tokens
        self._revocations = revocations

    async def register(self, username: str, password: str, origin: Origin) -> User:
        """A new user. Raises RegistrationClosed, UsernameTaken, RateLimitExceeded, or ValidationFailed for the password."""
        if not self._registration_open:
            raise RegistrationClosed("registration is closed here; ask an administrator to create an account for you")
        check_new_password(password)
        if username.casefold() in RESERVED_USERNAMES:
            raise UsernameTaken(f"the name '{username}' is reserved; choose another one", username=username)
        async with self._passwords.turn(origin.ip, username):
            if await self._store.credentials(username) is not None:
                raise taken(username)
            password_hash = await self._passwords.hash(password)
        async with self._store.begin() as work:
            user = await work.add_user(username, password_hash, Role.USER)
            if user is None:
                raise taken(username)
            await work.publish(user_registered(user, origin))
            await work.audit(AuditEntry(Action.REGISTERED, user.user_id, user.username, origin))
        return user

    async def login(self, username: str, password: str, origin: Origin) -> TokenPair:
        """The tokens of a new session.

        Raises InvalidCredentials, after the same time for an unknown name as for a wrong password; RateLimitExceeded; ValidationFailed
        for an impossible password.
        """
        _check_known_password(password, "password")
        async with self._passwords.turn(origin.ip, username):
            known = await self._store.credentials(username) if USERNAME.fullmatch(username) else None
            fits = await self._passwords.fits(password, known.password_hash if known else None)
        if known is None or not fits:
            await self._refused(username, known, origin)
            raise InvalidCredentials("wrong user name or password")
        return await self._open_session(known, origin)

    async def refresh(self, refresh_token: str, origin: Origin) -> TokenPair:
        """The next tokens of a session. Raises InvalidCredentials or TokenExpired.

        A token that was used more than 10 s ago ends the session: one of its two users has stolen it.
        """
        token_hash = hashed(refresh_token)
        async with self._store.begin() as work:
            record = await work.refresh_token(token_hash)
            if record is None or record.revoked:
                raise InvalidCredentials("the refresh token is unknown or its session has ended; log in again")
            if record.expired:
                raise TokenExpired("the refresh token has expired; log in again")
            check_enabled(record.user)
            if (successor := self._next(refresh_token, record)) is not None:
                if record.used_seconds_ago is None:
                    await work.use_refresh_token(token_hash, hashed(successor))
                    await work.add_refresh_token(hashed(successor), record.session_id)
                return await self._answer(work, record.user, record.session_id, successor)
            ended = await work.end_session(record.session_id)
            await work.audit(AuditEntry(Action.REFRESH_REUSED, record.user.user_id, record.user.username, origin))
        if ended is not None:
            await self._revocations.add([ended])
        raise InvalidCredentials("the refresh token was used before, so it may be stolen and its session was ended; log in again")

    async def logout(self, caller: Caller, origin: Origin) -> None:
        """Ends the session of the access token. Raises InvalidCredentials for an API key."""
        session_id = caller.session_id
        if session_id is None:
            raise InvalidCredentials("this call was made with an API key, which has no session; revoke the key instead")
        async with self._store.begin() as work:
            ended = await work.end_session(session_id)
            await work.audit(AuditEntry(Action.LOGGED_OUT, caller.user_id, caller.username, origin))
        if ended is not None:
            await self._revocations.add([ended])

    async def change_password(self, caller: Caller, current: str, new: str, origin: Origin) -> int:
        """Sets a new password and ends the caller's other sessions; returns how many. API keys stay valid.

        Raises InvalidCredentials for a wrong current password and for an API key, RateLimitExceeded, ValidationFailed.
        """
        if caller.session_id is None:
            raise InvalidCredentials("a password cannot be changed with an API key; log in and use the access token")
        _check_known_password(current, "current_password")
        check_new_password(new, "new_password")
        async with self._passwords.turn(origin.ip, caller.username):
            known = await self._store.credentials_of(caller.user_id)
            if not await self._passwords.fits(current, known.password_hash if known else None):
                await self._audit(AuditEntry(Action.PASSWORD_REJECTED, caller.user_id, caller.username, origin))
                raise InvalidCredentials("the current password is wrong; send the password that you log in with")
            password_hash = await self._passwords.hash(new)
        async with self._store.begin() as work:
            await work.update_user(caller.user_id, password_hash=password_hash)
            ended = await work.end_sessions_of(caller.user_id, keep=caller.session_id)
            details = {"ended_sessions": len(ended)}
            await work.audit(AuditEntry(Action.PASSWORD_CHANGED, caller.user_id, caller.username, origin, details))
        await self._revocations.add(ended)
        return len(ended)

    async def user(self, user_id: int) -> User:
        """The user with that id. Raises InvalidCredentials if there is none any more."""
        user = await self._store.user(user_id)
        if user is None:
            raise InvalidCredentials("the user of this credential does not exist any more; log in as another user")
        return user

    async def _open_session(self, known: Credentials, origin: Origin) -> TokenPair:
        session_id: UUID = uuid7()
        user, refresh_token = known.user, self._tokens.first()
        async with self._store.begin() as work:
            if await work.lock_password(user.user_id) != known.password_hash:
                raise InvalidCredentials("the password was changed during this login; log in with the new one")
            check_enabled(user)
            access_token, until = self._tokens.access(user, session_id)
            await work.open_session(session_id, user.user_id, until, origin.ip)
            await work.add_refresh_token(hashed(refresh_token), session_id)
            await work.publish(user_logged_in(user, origin))
            await work.audit(AuditEntry(Action.LOGGED_IN, user.user_id, user.username, origin))
        return TokenPair(access_token, self._tokens.access_seconds, refresh_token)

    async def _answer(self, work: IdentityWork, user: User, session_id: UUID, refresh_token: str) -> TokenPair:
        access_token, until = self._tokens.access(user, session_id)
        await work.extend_session(session_id, until)
        return TokenPair(access_token, self._tokens.access_seconds, refresh_token)

    def _next(self, refresh_token: str, record: RefreshRecord) -> str | None:
        """The successor to return; None for a token that must be stolen."""
        if record.used_seconds_ago is None:
            return self._tokens.successor(refresh_token)
        if record.used_seconds_ago > REPEATABLE_SECONDS:
            return None
        return self._tokens.repeated(refresh_token, record.successor_hash)

    async def _refused(self, username: str, known: Credentials | None, origin: Origin) -> None:
        # Text that cannot be a user name may be a password in the wrong field, so it is not stored.
        subject = username if USERNAME.fullmatch(username) else ""
        await self._audit(AuditEntry(Action.LOGIN_FAILED, known.user.user_id if known else None, subject, origin))

    async def _audit(self, entry: AuditEntry) -> None:
        async with self._store.begin() as work:
            await work.audit(entry)


def _check_known_password(password: str, field: str) -> None:
    """Raises ValidationFailed for a password that no user can have and that bcrypt would confuse with another one."""
    if len(password.encode(errors="replace")) > LONGEST_PASSWORD_BYTES or "\x00" in password:
        raise ValidationFailed.of(field, f"must be at most {LONGEST_PASSWORD_BYTES} bytes long in UTF-8, without the character U+0000")


def taken(username: str) -> UsernameTaken:
    """The error for a name that another user has."""
    return UsernameTaken(f"the user name '{username}' is taken; choose another one", username=username)
