"""Sessions and passwords: who sees and ends sessions, and what a new password ends."""

import pytest
from agentmesh.identity.v1 import identity_service_pb2 as pb

from tests.adapters.orchestrator.looking import Connection
from tests.rpc.orchestrator.identity.conftest import PASSWORD, READ, Person, error, reason
from tests.rpc.orchestrator.running import Orchestrator
from tests.support.waiting import eventually

ME = pb.GetCurrentUserRequest()
LIST = pb.ListSessionsRequest()


async def sessions(person: Person) -> list[str]:
    return [one.session_id for one in (await person.auth.ListSessions(LIST)).sessions]


async def test_sessions_are_listed_in_pages_newest_first_with_their_addresses(ada: Person) -> None:
    await ada.log_in()
    await ada.log_in()
    first = await ada.auth.ListSessions(pb.ListSessionsRequest(page_size=2))
    second = await ada.auth.ListSessions(pb.ListSessionsRequest(page_size=2, page_token=first.next_page_token))
    found = [*first.sessions, *second.sessions]
    assert [one.current for one in found] == [False, False, True]
    assert [one.session_id for one in found] == sorted((one.session_id for one in found), reverse=True)
    assert {(one.user_id, one.address) for one in found} == {(ada.user_id, "127.0.0.1")}
    assert all(one.expires_at.seconds - one.created_at.seconds == pytest.approx(30 * 24 * 3600, abs=60) for one in found)
    assert second.next_page_token == ""


async def test_an_ended_session_is_refused_at_once_and_not_listed(ada: Person) -> None:
    other = await ada.log_in()
    newest, current = await sessions(ada)
    await ada.by(other.access_token).GetCurrentUser(ME)
    await ada.auth.RevokeSession(pb.RevokeSessionRequest(session_id=newest))
    assert await reason(ada.by(other.access_token).GetCurrentUser(ME)) == "AUTH_TOKEN_BLACKLISTED"
    assert await reason(ada.auth.RefreshToken(pb.RefreshTokenRequest(refresh_token=other.refresh_token))) == "AUTH_INVALID_CREDENTIALS"
    assert await sessions(ada) == [current]
    again = await error(ada.auth.RevokeSession(pb.RevokeSessionRequest(session_id=newest)))
    assert (again.reason, again.details["session_id"]) == ("SESSION_NOT_FOUND", newest)


async def test_only_administrators_see_and_end_sessions_of_others(ada: Person, admin: Person) -> None:
    (of_ada,), (of_admin,) = await sessions(ada), await sessions(admin)
    assert await reason(ada.auth.RevokeSession(pb.RevokeSessionRequest(session_id=of_admin))) == "SESSION_NOT_FOUND"
    assert await reason(ada.auth.ListSessions(pb.ListSessionsRequest(user_id=admin.user_id))) == "USER_NOT_FOUND"
    assert await reason(ada.auth.RevokeAllSessions(pb.RevokeAllSessionsRequest(user_id=admin.user_id))) == "USER_NOT_FOUND"
    assert await sessions(admin) == [of_admin]
    reader = admin.by((await admin.new_key(scopes=(READ,))).secret)
    found = await reader.ListSessions(pb.ListSessionsRequest(user_id=ada.user_id))
    assert [(one.session_id, one.current) for one in found.sessions] == [(of_ada, False)]
    assert await reason(reader.RevokeSession(pb.RevokeSessionRequest(session_id=of_ada))) == "POLICY_DENIED"
    await ada.auth.GetCurrentUser(ME)
    await admin.auth.RevokeSession(pb.RevokeSessionRequest(session_id=of_ada))
    assert await reason(ada.auth.GetCurrentUser(ME)) == "AUTH_TOKEN_BLACKLISTED"


@pytest.mark.parametrize("keep", [False, True])
async def test_all_sessions_can_be_ended_with_or_without_the_current_one(ada: Person, keep: bool) -> None:
    other = await ada.log_in()
    ended = await ada.auth.RevokeAllSessions(pb.RevokeAllSessionsRequest(keep_current=keep))
    assert ended.ended_sessions == (1 if keep else 2)
    assert await reason(ada.by(other.access_token).GetCurrentUser(ME)) == "AUTH_TOKEN_BLACKLISTED"
    if keep:
        await ada.auth.GetCurrentUser(ME)
    else:
        assert await reason(ada.auth.GetCurrentUser(ME)) == "AUTH_TOKEN_BLACKLISTED"


async def test_a_new_password_ends_the_other_sessions_and_keeps_this_one_and_the_keys(ada: Person) -> None:
    other, key = await ada.log_in(), await ada.new_key()
    change = pb.ChangePasswordRequest(current_password=PASSWORD, new_password="staple of the horse")
    assert (await ada.auth.ChangePassword(change)).ended_sessions == 1
    await ada.auth.GetCurrentUser(ME)
    await ada.by(key.secret).GetCurrentUser(ME)
    assert await reason(ada.by(other.access_token).GetCurrentUser(ME)) == "AUTH_TOKEN_BLACKLISTED"
    assert await reason(ada.log_in()) == "AUTH_INVALID_CREDENTIALS"
    await ada.log_in("staple of the horse")


async def test_a_password_is_changed_only_by_a_session_with_the_current_password(ada: Person, db: Connection) -> None:
    wrong = pb.ChangePasswordRequest(current_password="a guess", new_password="staple of the horse")
    right = pb.ChangePasswordRequest(current_password=PASSWORD, new_password="staple of the horse")
    assert (await error(ada.auth.ChangePassword(wrong))).message == "the current password is wrong; send the password that you log in with"
    assert await reason(ada.by((await ada.new_key()).secret).ChangePassword(right)) == "AUTH_INVALID_CREDENTIALS"
    assert await db.fetchval("SELECT count(*) FROM audit_log WHERE action = 'password.rejected' AND actor_id = $1", ada.user_id) == 1
    await ada.log_in()


@pytest.mark.parametrize("character", ["\x00", "\t", "\n", "\x1b", "\x7f", "\x85"])
async def test_a_new_password_with_a_control_character_is_refused(ada: Person, admin: Person, character: str) -> None:
    """bcrypt repeats a short password after a NUL: `secret` and `secret\\0secret` would be equal."""
    password = f"correct{character}horse"
    calls = (
        ada.auth.Register(pb.RegisterRequest(username="control.character", password=password)),
        ada.auth.ChangePassword(pb.ChangePasswordRequest(current_password=PASSWORD, new_password=password)),
        admin.auth.CreateUser(pb.CreateUserRequest(username="control.character", password=password)),
    )
    for call in calls:
        failure = await error(call)
        assert failure.reason == "VALIDATION_ERROR"
        assert f"U+{ord(character):04X} at position 8" in failure.violations[0].description
    await ada.log_in()


async def test_a_password_repeated_after_a_nul_is_refused(ada: Person) -> None:
    assert await reason(ada.log_in(f"{PASSWORD}\x00{PASSWORD}")) == "VALIDATION_ERROR"
    change = pb.ChangePasswordRequest(current_password=f"{PASSWORD}\x00{PASSWORD}", new_password="staple of the horse")
    assert await reason(ada.auth.ChangePassword(change)) == "VALIDATION_ERROR"


@pytest.mark.parametrize("statement", ["DELETE FROM sessions WHERE user_id = $1", "DELETE FROM users WHERE id = $1"])
async def test_a_token_without_a_row_is_refused_regardless_of_redis(
    ada: Person, accounts: Orchestrator, db: Connection, statement: str
) -> None:
    """As after a restore of an older backup: Redis lists every ended session, and this one is not among them."""

    async def trusted() -> bool:
        return bool(accounts.logged("revocations_written"))

    await eventually(trusted)
    await ada.auth.GetCurrentUser(ME)
    await db.execute(statement, ada.user_id)

    async def refused() -> bool:
        try:
            await ada.auth.ListSessions(LIST)
        except Exception:  # noqa: BLE001 - which it is, is checked below
            return True
        return False

    await eventually(refused, within=3)
    assert await reason(ada.auth.ListSessions(LIST)) == "AUTH_INVALID_CREDENTIALS"
