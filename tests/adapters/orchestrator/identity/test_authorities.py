"""The current authority of users and keys: roles, disabled and deleted users, revoked keys."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from mesh.errors import ServiceUnavailable
from mesh.security.caller import EVERY_SCOPE, Role
from orchestrator.adapters.identity.authorities import PostgresAuthorities
from orchestrator.adapters.identity.store import PostgresIdentityStore
from orchestrator.adapters.postgres.engine import create_engine
from orchestrator.identity.model import ApiKey, Authority, Loss, NewApiKey, Principal, User
from tests.adapters.orchestrator.looking import Connection


@pytest.fixture
def store(engine: AsyncEngine) -> PostgresIdentityStore:
    return PostgresIdentityStore(engine, 1)


async def new_user(store: PostgresIdentityStore, role: Role = Role.USER) -> User:
    async with store.begin() as work:
        user = await work.add_user(f"user.{uuid7().hex}", "no hash", role)
    assert user is not None
    return user


async def new_key(store: PostgresIdentityStore, user: User, expires_at: datetime | None = None) -> ApiKey:
    async with store.begin() as work:
        key, _ = await work.add_api_key(NewApiKey(user.user_id, "key", EVERY_SCOPE, expires_at), uuid7().bytes, "amk_")
    return key


async def looked_up(engine: AsyncEngine, *principals: Principal) -> Mapping[Principal, Authority]:
    return await PostgresAuthorities(engine).of(principals)


async def test_the_role_is_the_current_one(engine: AsyncEngine, store: PostgresIdentityStore) -> None:
    admin, user = await new_user(store, Role.ADMIN), await new_user(store)
    async with store.begin() as work:
        await work.update_user(admin.user_id, role=Role.USER)
        await work.update_user(user.user_id, role=Role.ADMIN)
    first, second = Principal(admin.user_id), Principal(user.user_id)
    found = await looked_up(engine, first, second)
    assert found == {first: Authority(admin.username, Role.USER), second: Authority(user.username, Role.ADMIN)}


async def test_a_disabled_user_has_no_authority_until_enabled(engine: AsyncEngine, store: PostgresIdentityStore) -> None:
    user = await new_user(store)
    plain, keyed = Principal(user.user_id), Principal(user.user_id, (await new_key(store, user)).api_key_id)
    async with store.begin() as work:
        disabled = await work.update_user(user.user_id, disabled=True)
    assert disabled is not None
    assert disabled.disabled_at is not None
    found = await looked_up(engine, plain, keyed)
    assert {found[plain].loss, found[keyed].loss} == {Loss.USER_DISABLED}
    async with store.begin() as work:
        enabled = await work.update_user(user.user_id, disabled=False)
    assert enabled == user
    assert {one.loss for one in (await looked_up(engine, plain, keyed)).values()} == {None}


async def test_a_deleted_user_has_no_authority(engine: AsyncEngine, store: PostgresIdentityStore, db: Connection) -> None:
    user = await new_user(store)
    await db.execute("DELETE FROM users WHERE id = $1", user.user_id)
    deleted = Principal(user.user_id)
    assert (await looked_up(engine, deleted))[deleted].loss is Loss.USER_DELETED


async def test_runs_of_a_revoked_key_lose_their_authority_and_those_of_other_keys_keep_it(
    engine: AsyncEngine, store: PostgresIdentityStore
) -> None:
    user, other = await new_user(store), await new_user(store)
    revoked, good = await new_key(store, user), await new_key(store, user)
    async with store.begin() as work:
        await work.revoke_api_key(revoked.api_key_id)
    asked = {
        Principal(user.user_id, revoked.api_key_id): Loss.API_KEY_REVOKED,
        Principal(user.user_id, good.api_key_id): None,
        Principal(user.user_id): None,
        Principal(other.user_id, good.api_key_id): Loss.API_KEY_REVOKED,
        Principal(user.user_id, uuid7()): Loss.API_KEY_REVOKED,
    }
    found = await looked_up(engine, *asked)
    assert {one: authority.loss for one, authority in found.items()} == asked


async def test_runs_of_an_expired_key_may_finish(engine: AsyncEngine, store: PostgresIdentityStore) -> None:
    user = await new_user(store)
    expired = Principal(user.user_id, (await new_key(store, user, datetime.now(UTC) - timedelta(days=1))).api_key_id)
    assert (await looked_up(engine, expired))[expired].loss is None


async def test_an_authority_is_remembered_and_then_looked_up_again(engine: AsyncEngine, store: PostgresIdentityStore) -> None:
    user = await new_user(store)
    principal = Principal(user.user_id)
    patient, forgetful = PostgresAuthorities(engine, seconds=600), PostgresAuthorities(engine, seconds=0)
    assert (await patient.of([principal, principal])) == (await forgetful.of([principal]))
    async with store.begin() as work:
        await work.update_user(user.user_id, disabled=True)
    assert (await patient.of([principal]))[principal].loss is None
    assert (await forgetful.of([principal]))[principal].loss is Loss.USER_DISABLED


async def test_a_lost_database_is_unavailable_and_never_a_loss_of_authority() -> None:
    engine = create_engine("postgresql+asyncpg://u:p@127.0.0.1:1/x", 1, 0)
    with pytest.raises(ServiceUnavailable):
        await looked_up(engine, Principal(1))
    await engine.dispose()
