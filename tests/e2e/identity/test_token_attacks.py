"""Every credential of the table is refused with its reason, at the gateway over REST and gRPC, and at the orchestrator itself."""

import grpc
import pytest
from agentmesh.identity.v1 import identity_service_pb2 as pb
from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub
from redis.asyncio import Redis

from mesh.rpc.status import TABLE
from mesh.rpc.status import error_of as ours
from tests.contract.gateway.wire import error_of
from tests.e2e.identity.attacks import ATTACKS, GOOD, REVOKED, Headers, Loot
from tests.e2e.people import AUTH, Person, logged_in, new_key, new_person, posted
from tests.e2e.platform import Platform
from tests.e2e.provocations import failure
from tests.support.credentials import bearer


@pytest.fixture(scope="module")
async def person(shared_platform: Platform) -> Person:
    return await new_person(shared_platform)


@pytest.fixture(scope="module")
async def loot(shared_platform: Platform, person: Person) -> Loot:
    """An ordinary user's credentials, good and bad ones."""
    platform = shared_platform
    _, api_key = await new_key(platform, person)
    revoked_id, revoked_key = await new_key(platform, person)
    (await platform.anonymous.delete(f"{AUTH}/api-keys/{revoked_id}", headers=person.headers)).raise_for_status()
    expired_id, expired_key = await new_key(platform, person, expires_at="2099-01-01T00:00:00Z")
    await platform.sql("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE api_key_id = $1", expired_id)
    other = await logged_in(platform, person.user_id, person.username, person.password)
    (await posted(platform, "logout", other.headers)).raise_for_status()
    secret = platform.stack.credentials.jwt_secret()
    return Loot(secret, person.access_token, person.refresh_token, api_key, revoked_key, expired_key, other.access_token)


def test_the_table_is_long_enough() -> None:
    assert len(ATTACKS) >= 30


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_is_refused_with_its_reason_at_every_door(platform: Platform, loot: Loot, attack: str) -> None:
    reason, forge = ATTACKS[attack]
    headers = forge(loot)
    rest = await platform.anonymous.get(f"{AUTH}/me", headers=headers)
    error_of(rest, TABLE[reason].http_status, reason)
    assert rest.headers["www-authenticate"].startswith("Bearer realm=")
    for door in platform.doors.values():
        assert await refusal(door, headers) == reason
    for secret in (loot.secret, loot.good, loot.api_key):
        assert secret not in rest.text


@pytest.mark.parametrize("way", GOOD)
async def test_a_good_credential_is_let_in_at_every_door(platform: Platform, loot: Loot, person: Person, way: str) -> None:
    headers = GOOD[way](loot)
    assert (await platform.anonymous.get(f"{AUTH}/me", headers=headers)).json()["user"]["username"] == person.username
    for door in platform.doors.values():
        answer = await AuthServiceStub(door).GetCurrentUser(pb.GetCurrentUserRequest(), metadata=headers)
        assert answer.user.user_id == person.user_id


async def test_a_flush_of_redis_takes_nothing_back(platform: Platform, loot: Loot) -> None:
    """Before, right after, and when the list has been written anew."""
    ended = [("authorization", f"Bearer {loot.ended}")]
    assert await reasons(platform, ended) == {REVOKED}
    async with Redis.from_url(platform.stack.redis_url) as redis:
        await redis.flushall()
        assert await reasons(platform, ended) == {REVOKED}
        assert (await platform.anonymous.get(f"{AUTH}/me", headers=bearer(loot.good))).status_code == 200
    assert await reasons(platform, ended) == {REVOKED}


async def reasons(platform: Platform, headers: Headers) -> set[str]:
    """What every door says."""
    rest = await platform.anonymous.get(f"{AUTH}/me", headers=headers)
    return {rest.json()["error"]["code"], *[await refusal(door, headers) for door in platform.doors.values()]}


async def refusal(door: grpc.aio.Channel, headers: Headers) -> str:
    """Why a native call with these headers is refused."""
    refused = ours(await failure(AuthServiceStub(door).GetCurrentUser(pb.GetCurrentUserRequest(), metadata=headers)))
    assert refused is not None
    return refused.reason
