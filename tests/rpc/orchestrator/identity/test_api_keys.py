"""API keys: which scopes a key may pass on, and who may list and revoke keys."""

from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from agentmesh.identity.v1 import identity_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.errors import RemoteError
from tests.adapters.orchestrator.looking import Connection
from tests.rpc.orchestrator.identity.conftest import EVERYTHING, MANAGE, READ, NewPerson, Person, error, reason
from tests.support.waiting import eventually

ME = pb.GetCurrentUserRequest()


def after(seconds: float) -> Timestamp:
    at = Timestamp()
    at.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return at


async def works(person: Person, credential: str) -> bool:
    try:
        await person.by(credential).GetCurrentUser(ME)
    except Exception:  # noqa: BLE001 - the reason is checked elsewhere
        return False
    return True


async def refused_with(call: Awaitable[Any], field: str) -> str:
    failure: RemoteError = await error(call)
    assert (failure.reason, failure.violations[0].field) == ("VALIDATION_ERROR", field)
    return failure.message


async def test_a_key_cannot_create_a_key_that_outlives_it(ada: Person) -> None:
    until = after(600)
    parent = (await ada.new_key(expires_at=until)).secret
    message = await refused_with(ada.new_key(by=parent), "expires_at")
    assert "must be at most" in message
    assert "when the API key that makes this call expires" in message
    await refused_with(ada.new_key(by=parent, expires_at=after(601)), "expires_at")
    await ada.new_key(by=parent, expires_at=until)
    await ada.new_key(by=parent, expires_at=after(300))
    child = (await ada.new_key(by=(await ada.new_key()).secret)).secret
    assert await works(ada, child)


MANY = """
INSERT INTO api_keys (api_key_id, user_id, name, key_hash, prefix, scopes, created_at, revoked_at, expires_at)
SELECT gen_random_uuid(), $1, 'x', decode(md5($1::int || ':' || n), 'hex'), 'amk_x', '{read}', clock_timestamp() - $2::interval, $3, $4
FROM generate_series(1, 99) n
"""
NOW, LONG_AGO, EARLIER = datetime.now(UTC), timedelta(days=2), timedelta(hours=1)


@pytest.mark.parametrize(
    ("age", "revoked", "expires", "counts"),
    [
        (LONG_AGO, None, None, True),
        (LONG_AGO, None, NOW + timedelta(days=1), True),
        (EARLIER, NOW - EARLIER, None, True),
        (LONG_AGO, NOW - EARLIER, None, False),
        (LONG_AGO, None, NOW - EARLIER, False),
    ],
    ids=["works", "works until tomorrow", "revoked but new", "revoked", "expired"],
)
async def test_a_user_has_at_most_a_hundred_keys(
    ada: Person, new_person: NewPerson, db: Connection, age: timedelta, revoked: datetime | None, expires: datetime | None, counts: bool
) -> None:
    """Those that work, and those of the last day: a user who creates and revokes keys all the time cannot fill the database."""
    await db.execute(MANY, ada.user_id, age, revoked, expires)
    key = await ada.new_key(idempotency_key="the-hundredth")
    if counts:
        refused = await error(ada.new_key())
        assert (refused.reason, refused.details["limit"]) == ("RATE_LIMIT_EXCEEDED", "api_keys")
        assert "at most 100 that work or were created in the last 24 h per user; revoke keys that nobody uses" in refused.message
        again = await ada.new_key(idempotency_key="the-hundredth")
        assert again.api_key.api_key_id == key.api_key.api_key_id
    else:
        await ada.new_key()
    await (await new_person()).new_key()


async def test_revoking_a_key_revokes_the_keys_that_it_created(ada: Person) -> None:
    parent = await ada.new_key()
    child = await ada.new_key(by=parent.secret)
    grandchild, sibling = await ada.new_key(by=child.secret), await ada.new_key()
    assert await works(ada, grandchild.secret)
    revoked = await ada.auth.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=parent.api_key.api_key_id))
    assert revoked.api_key.HasField("revoked_at")
    for key in (parent, child, grandchild):
        assert await reason(ada.by(key.secret).GetCurrentUser(ME)) == "AUTH_TOKEN_BLACKLISTED"
    assert await works(ada, sibling.secret)
    assert await works(ada, ada.tokens.access_token)


async def test_a_key_that_requests_a_scope_it_lacks_is_denied_and_audited_with_its_address(ada: Person, db: Connection) -> None:
    narrow = await ada.new_key(scopes=(MANAGE,))
    assert await reason(ada.new_key(by=narrow.secret, scopes=(READ, MANAGE))) == "POLICY_DENIED"
    await ada.new_key(by=narrow.secret, scopes=(MANAGE,))
    assert await reason(ada.by(narrow.secret).ListApiKeys(pb.ListApiKeysRequest())) == "POLICY_DENIED"
    rows: list[Any] = []

    async def audited() -> bool:
        rows[:] = await db.fetch("SELECT * FROM audit_log WHERE actor_id = $1 AND action = 'access.denied' ORDER BY id", ada.user_id)
        return len(rows) == 2

    await eventually(audited)
    assert [row["subject"] for row in rows] == ["create an API key with scope read", "/agentmesh.identity.v1.AuthService/ListApiKeys"]
    assert {row["ip"] for row in rows} == {"127.0.0.1"}
    assert {row["request_id"][:4] for row in rows} == {"req_"}


async def test_keys_are_listed_in_pages_newest_first(ada: Person) -> None:
    ids = [(await ada.new_key()).api_key.api_key_id for _ in range(3)]
    first = await ada.auth.ListApiKeys(pb.ListApiKeysRequest(page_size=2))
    second = await ada.auth.ListApiKeys(pb.ListApiKeysRequest(page_size=2, page_token=first.next_page_token))
    assert [key.api_key_id for key in (*first.api_keys, *second.api_keys)] == ids[::-1]
    assert second.next_page_token == ""
    assert await reason(ada.auth.ListApiKeys(pb.ListApiKeysRequest(page_token="x"))) == "VALIDATION_ERROR"


async def test_only_administrators_list_and_revoke_keys_of_others(ada: Person, admin: Person, db: Connection) -> None:
    key = await ada.new_key()
    of_ada = pb.ListApiKeysRequest(user_id=ada.user_id)
    revoke = pb.RevokeApiKeyRequest(api_key_id=key.api_key.api_key_id)
    own = await ada.auth.ListApiKeys(of_ada)
    assert [one.api_key_id for one in own.api_keys] == [key.api_key.api_key_id]
    admins_key = await admin.new_key()
    assert await reason(ada.auth.ListApiKeys(pb.ListApiKeysRequest(user_id=admin.user_id))) == "USER_NOT_FOUND"
    assert await reason(ada.auth.RevokeApiKey(pb.RevokeApiKeyRequest(api_key_id=admins_key.api_key.api_key_id))) == "API_KEY_NOT_FOUND"
    assert await works(admin, admins_key.secret)

    reader = (await admin.new_key(scopes=(READ,))).secret
    assert await admin.by(reader).ListApiKeys(of_ada) == own
    assert await reason(admin.by(reader).RevokeApiKey(revoke)) == "POLICY_DENIED"
    assert await reason(admin.auth.ListApiKeys(pb.ListApiKeysRequest(user_id=2**31 - 1))) == "USER_NOT_FOUND"
    await admin.auth.RevokeApiKey(revoke)
    assert await reason(ada.by(key.secret).GetCurrentUser(ME)) == "AUTH_TOKEN_BLACKLISTED"
    row = await db.fetchrow("SELECT actor_id, ip FROM audit_log WHERE action = 'api_key.revoked' AND subject = $1", revoke.api_key_id)
    assert row is not None
    assert tuple(row) == (admin.user_id, "127.0.0.1")


@pytest.mark.parametrize("by_key", [False, True])
async def test_a_demoted_admin_sees_only_their_own_keys(ada: Person, admin: Person, db: Connection, by_key: bool) -> None:
    credential = (await admin.new_key(scopes=EVERYTHING)).secret if by_key else admin.tokens.access_token
    await admin.by(credential).ListApiKeys(pb.ListApiKeysRequest(user_id=ada.user_id))
    await db.execute("UPDATE users SET role = 'user' WHERE id = $1", admin.user_id)

    async def refused() -> bool:
        try:
            await admin.by(credential).ListApiKeys(pb.ListApiKeysRequest(user_id=ada.user_id))
        except Exception:  # noqa: BLE001
            return True
        return False

    await eventually(refused, within=3)
    assert await reason(admin.by(credential).ListApiKeys(pb.ListApiKeysRequest(user_id=ada.user_id))) == "USER_NOT_FOUND"
