"""Every credential of the table is refused with its reason: over REST and gRPC at the gateway, and at the orchestrator itself."""

import grpc
import pytest
from agentmesh.identity.v1 import identity_service_pb2 as pb
from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub
from redis.asyncio import Redis

from mesh.rpc.status import TABLE
from mesh.rpc.status import error_of as ours
from tests.contract.gateway.wire import error_of
from tests.e2e.identity.attacks import ATTACKS, GOOD, REVOKED, Headers, StolenCredentials
from tests.e2e.platform import Platform
from tests.e2e.provocations import failure
from tests.e2e.users import AUTH, User, logged_in, new_key, new_user, posted
from tests.support.credentials import bearer


@pytest.fixture(scope="module")
async def user(shared_platform: Platform) -> User:
    return await new_user(shared_platform)


@pytest.fixture(scope="module")
async def stolen(shared_platform: Platform, user: User) -> StolenCredentials:
    """An ordinary user's credentials, valid and revoked ones."""
    platform = shared_platform
    _, api_key = await new_key(platform, user)
    revoked_id, revoked_key = await new_key(platform, user)
    (await platform.anonymous.delete(f"{AUTH}/api-keys/{revoked_id}", headers=user.headers)).raise_for_status()
    expired_id, expired_key = await new_key(platform, user, expires_at="2099-01-01T00:00:00Z")
    await platform.sql("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE api_key_id = $1", expired_id)
    other = await logged_in(platform, user.user_id, user.username, user.password)
    (await posted(platform, "logout", other.headers)).raise_for_status()
    secret = platform.stack.credentials.jwt_secret()
    return StolenCredentials(secret, user.access_token, user.refresh_token, api_key, revoked_key, expired_key, other.access_token)


def test_the_table_has_enough_attacks() -> None:
    assert len(ATTACKS) >= 30


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_is_refused_with_its_reason_at_every_entry_point(
    platform: Platform, stolen: StolenCredentials, attack: str
) -> None:
    reason, forge = ATTACKS[attack]
    headers = forge(stolen)
    rest = await platform.anonymous.get(f"{AUTH}/me", headers=headers)
    error_of(rest, TABLE[reason].http_status, reason)
    assert rest.headers["www-authenticate"].startswith("Bearer realm=")
    for channel in platform.anonymous_channels.values():
        assert await refusal(channel, headers) == reason
    for secret in (stolen.secret, stolen.good, stolen.api_key):
        assert secret not in rest.text


@pytest.mark.parametrize("way", GOOD)
async def test_a_valid_credential_is_accepted_at_every_entry_point(
    platform: Platform, stolen: StolenCredentials, user: User, way: str
) -> None:
    headers = GOOD[way](stolen)
    assert (await platform.anonymous.get(f"{AUTH}/me", headers=headers)).json()["user"]["username"] == user.username
    for channel in platform.anonymous_channels.values():
        answer = await AuthServiceStub(channel).GetCurrentUser(pb.GetCurrentUserRequest(), metadata=headers)
        assert answer.user.user_id == user.user_id


async def test_a_flush_of_redis_reopens_no_session(platform: Platform, stolen: StolenCredentials) -> None:
    """Before, right after, and once the list has been written again."""
    ended = [("authorization", f"Bearer {stolen.ended}")]
    assert await reasons(platform, ended) == {REVOKED}
    async with Redis.from_url(platform.stack.redis_url) as redis:
        await redis.flushall()
        assert await reasons(platform, ended) == {REVOKED}
        assert (await platform.anonymous.get(f"{AUTH}/me", headers=bearer(stolen.good))).status_code == 200
    assert await reasons(platform, ended) == {REVOKED}


async def reasons(platform: Platform, headers: Headers) -> set[str]:
    """The reason at every entry point."""
    rest = await platform.anonymous.get(f"{AUTH}/me", headers=headers)
    return {rest.json()["error"]["code"], *[await refusal(channel, headers) for channel in platform.anonymous_channels.values()]}


async def refusal(channel: grpc.aio.Channel, headers: Headers) -> str:
    """The reason for which a native call with these headers is refused."""
    refused = ours(await failure(AuthServiceStub(channel).GetCurrentUser(pb.GetCurrentUserRequest(), metadata=headers)))
    assert refused is not None
    return refused.reason
