"""User administration, and its refusal for everybody else."""

from pathlib import Path
from typing import Any

import pytest
from agentmesh.identity.v1 import identity_pb2
from agentmesh.identity.v1 import identity_service_pb2 as pb
from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub
from uuid_utils.compat import uuid7

from tests.adapters.orchestrator.looking import Connection
from tests.rpc.orchestrator.identity.conftest import PASSWORD, READ, Person, error, reason
from tests.rpc.orchestrator.running import Orchestrator, running_orchestrator
from tests.support.waiting import eventually

ME = pb.GetCurrentUserRequest()


async def refused(person: Person, credential: str) -> bool:
    try:
        await person.by(credential).GetCurrentUser(ME)
    except Exception:  # noqa: BLE001 - the reason is checked by the test
        return True
    return False


async def test_administration_is_denied_to_users_and_to_narrow_keys(ada: Person, admin: Person) -> None:
    reads: list[tuple[str, Any]] = [("ListUsers", pb.ListUsersRequest()), ("ListAuditEntries", pb.ListAuditEntriesRequest())]
    changes: list[tuple[str, Any]] = [
        ("CreateUser", pb.CreateUserRequest(username=f"new.{uuid7().hex}", password=PASSWORD)),
        ("UpdateUser", pb.UpdateUserRequest(user_id=ada.user_id, role=identity_pb2.USER_ROLE_ADMIN)),
        ("UpdateUser", pb.UpdateUserRequest(user_id=2**31 - 1, disabled=True)),
    ]
    reader = (await admin.new_key(scopes=(READ,))).secret
    for rpc, request in (*reads, *changes):
        assert (await error(getattr(ada.auth, rpc)(request))).details["rule"] == "role_may_not", rpc
    for rpc, request in changes:
        assert (await error(getattr(admin.by(reader), rpc)(request))).details["rule"] == "missing_scope", rpc
    for rpc, request in reads:
        await getattr(admin.by(reader), rpc)(request)
    assert (await ada.auth.GetCurrentUser(ME)).user.role == identity_pb2.USER_ROLE_USER


async def test_a_user_is_created_listed_and_promoted(admin: Person, accounts: Orchestrator, db: Connection) -> None:
    name = f"new.{uuid7().hex}"
    request = pb.CreateUserRequest(username=name, password=PASSWORD)
    user = (await admin.auth.CreateUser(request)).user
    assert (user.username, user.role, user.disabled) == (name, identity_pb2.USER_ROLE_USER, False)
    assert await reason(admin.auth.CreateUser(request)) == "USERNAME_TAKEN"
    assert list((await admin.auth.ListUsers(pb.ListUsersRequest(username=name.upper()))).users) == [user]
    stub: Any = AuthServiceStub(accounts.anonymous)
    tokens = await stub.Login(pb.LoginRequest(username=name, password=PASSWORD))
    promoted = await admin.auth.UpdateUser(pb.UpdateUserRequest(user_id=user.user_id, role=identity_pb2.USER_ROLE_ADMIN))
    assert promoted.user.role == identity_pb2.USER_ROLE_ADMIN
    new = Person(user.user_id, name, tokens, accounts.anonymous)

    async def may_list() -> bool:
        try:
            await new.auth.ListUsers(pb.ListUsersRequest())
        except Exception:  # noqa: BLE001
            return False
        return True

    await eventually(may_list, within=3)
    rows = await db.fetch("SELECT action, actor_id, ip FROM audit_log WHERE subject = $1 ORDER BY id", f"user:{user.user_id}")
    assert [tuple(row) for row in rows] == [(action, admin.user_id, "127.0.0.1") for action in ("user.created", "role.changed")]


async def test_users_are_listed_in_pages_by_id(ada: Person, admin: Person) -> None:
    found: list[int] = []
    token = ""
    while token or not found:
        page = await admin.auth.ListUsers(pb.ListUsersRequest(page_size=2, page_token=token))
        assert len(page.users) <= 2
        found, token = [*found, *(user.user_id for user in page.users)], page.next_page_token
    assert found == sorted(set(found))
    assert {ada.user_id, admin.user_id} <= set(found)


async def test_a_disabled_user_is_refused_everywhere_within_a_second_until_enabled(ada: Person, admin: Person) -> None:
    key = (await ada.new_key()).secret
    for credential in (key, ada.tokens.access_token):
        assert not await refused(ada, credential)
    disabled = await admin.auth.UpdateUser(pb.UpdateUserRequest(user_id=ada.user_id, disabled=True))
    assert disabled.user.disabled

    async def all_refused() -> bool:
        return await refused(ada, key) and await refused(ada, ada.tokens.access_token)

    await eventually(all_refused, within=2)
    assert (await error(ada.by(key).GetCurrentUser(ME))).message == (
        f"the user '{ada.username}' is disabled; ask an administrator to enable it"
    )
    assert await reason(ada.log_in()) == "AUTH_INVALID_CREDENTIALS"
    refresh = pb.RefreshTokenRequest(refresh_token=ada.tokens.refresh_token)
    assert await reason(ada.auth.RefreshToken(refresh)) == "AUTH_INVALID_CREDENTIALS"

    enabled = await admin.auth.UpdateUser(pb.UpdateUserRequest(user_id=ada.user_id, disabled=False))
    assert not enabled.user.disabled

    async def key_works() -> bool:
        return not await refused(ada, key)

    await eventually(key_works, within=3)
    assert await refused(ada, ada.tokens.access_token)
    assert await reason(ada.auth.RefreshToken(refresh)) == "AUTH_INVALID_CREDENTIALS"
    await ada.log_in()


async def test_an_invalid_update_is_refused(ada: Person, admin: Person) -> None:
    assert await reason(admin.auth.UpdateUser(pb.UpdateUserRequest(user_id=ada.user_id))) == "VALIDATION_ERROR"
    assert await reason(admin.auth.UpdateUser(pb.UpdateUserRequest(user_id=2**31 - 1, disabled=True))) == "USER_NOT_FOUND"
    assert await reason(admin.auth.UpdateUser(pb.UpdateUserRequest(user_id=admin.user_id, disabled=True))) == "VALIDATION_ERROR"
    step_down = pb.UpdateUserRequest(user_id=admin.user_id, role=identity_pb2.USER_ROLE_USER)
    failure = await error(admin.auth.UpdateUser(step_down))
    assert (failure.reason, failure.message) == ("VALIDATION_ERROR", "role: you cannot change your own account; ask another administrator")
    await admin.auth.GetCurrentUser(ME)


async def test_the_audit_log_is_listed_in_pages_and_by_actor_and_action(ada: Person, admin: Person) -> None:
    await ada.log_in()
    await ada.new_key()
    of_ada = pb.ListAuditEntriesRequest(actor_id=ada.user_id, page_size=2)
    first = await admin.auth.ListAuditEntries(of_ada)
    of_ada.page_token = first.next_page_token
    second = await admin.auth.ListAuditEntries(of_ada)
    entries = [*first.entries, *second.entries]
    assert [entry.action for entry in entries] == ["api_key.created", "login.succeeded", "login.succeeded"]
    assert [entry.entry_id for entry in entries] == sorted((entry.entry_id for entry in entries), reverse=True)
    assert (entries[0].address, entries[0].actor_id, entries[0].details["name"]) == ("127.0.0.1", ada.user_id, "a key")
    assert second.next_page_token == ""
    logins = await admin.auth.ListAuditEntries(pb.ListAuditEntriesRequest(actor_id=ada.user_id, action="login.succeeded"))
    assert [entry.entry_id for entry in logins.entries] == [entry.entry_id for entry in entries[1:]]


@pytest.mark.parametrize("name", ["admin", "Admin", "ADMIN"])
async def test_the_administrators_name_cannot_be_registered(ada: Person, name: str) -> None:
    failure = await error(ada.auth.Register(pb.RegisterRequest(username=name, password=PASSWORD)))
    assert (failure.reason, failure.message) == ("USERNAME_TAKEN", f"the name '{name}' is reserved; choose another one")


async def test_administrators_create_users_while_registration_is_closed(
    tmp_path: Path, admin: Person, books_url: str, redis_url: str
) -> None:
    urls = {"DATABASE_URL": books_url, "REDIS_URL": redis_url}
    async with running_orchestrator(tmp_path, REGISTRATION="closed", **urls) as closed:
        stub: Any = AuthServiceStub(closed.anonymous)
        name = f"new.{uuid7().hex}"
        failure = await error(stub.Register(pb.RegisterRequest(username=name, password=PASSWORD)))
        assert (failure.reason, failure.message) == (
            *("REGISTRATION_CLOSED", "registration is closed here; ask an administrator to create an account for you"),
        )
        there = Person(admin.user_id, admin.username, admin.tokens, closed.anonymous)
        await there.auth.CreateUser(pb.CreateUserRequest(username=name, password=PASSWORD))
        await stub.Login(pb.LoginRequest(username=name, password=PASSWORD))
