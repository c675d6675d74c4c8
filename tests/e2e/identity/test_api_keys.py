"""API keys: their scopes, what is shown of them, and how they end."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.gateway.wire import error_of
from tests.e2e.definitions import AGENT
from tests.e2e.platform import Platform, question
from tests.e2e.users import AUTH, User, new_key, new_user, posted
from tests.support.credentials import bearer
from tests.support.waiting import eventually

KEYS = f"{AUTH}/api-keys"
READ = ["ACCESS_SCOPE_READ"]


@pytest.fixture(scope="module")
async def user(shared_platform: Platform) -> User:
    return await new_user(shared_platform)


async def create(platform: Platform, user: User, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    body = {"name": "a key", "scopes": READ, **fields}
    return await platform.anonymous.post(KEYS, json=body, headers={**user.headers, **(headers or {})})


async def listed(platform: Platform, user: User) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = (await platform.anonymous.get(KEYS, headers=user.headers)).json()["api_keys"]
    return keys


async def test_a_key_is_shown_once_and_later_identified_by_its_prefix(platform: Platform, user: User) -> None:
    made = (await create(platform, user, name="ci", scopes=["ACCESS_SCOPE_READ", "ACCESS_SCOPE_EXECUTE"])).json()
    assert len(made["secret"]) == 4 + 43
    assert made["secret"].startswith(made["api_key"]["prefix"])
    shown = next(key for key in await listed(platform, user) if key["api_key_id"] == made["api_key"]["api_key_id"])
    assert shown == made["api_key"]
    assert made["secret"] not in str(await listed(platform, user))
    assert (shown["name"], shown["scopes"]) == ("ci", ["ACCESS_SCOPE_READ", "ACCESS_SCOPE_EXECUTE"])
    assert "last_used_at" not in shown


async def test_keys_are_listed_newest_first_including_revoked_ones(platform: Platform) -> None:
    user = await new_user(platform)
    ids = [(await new_key(platform, user))[0] for _ in range(3)]
    (await platform.anonymous.delete(f"{KEYS}/{ids[1]}", headers=user.headers)).raise_for_status()
    keys = await listed(platform, user)
    assert [key["api_key_id"] for key in keys] == ids[::-1]
    assert [("revoked_at" in key) for key in keys] == [False, True, False]


async def test_the_last_use_of_a_key_is_recorded(platform: Platform, user: User) -> None:
    key_id, secret = await new_key(platform, user)
    assert (await platform.anonymous.get(f"{AUTH}/me", headers=bearer(secret))).status_code == 200
    used = next(key["last_used_at"] for key in await listed(platform, user) if key["api_key_id"] == key_id)
    assert abs(datetime.fromisoformat(used) - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("scope", "may"),
    [("read", [True, False, False]), ("execute", [False, True, False]), ("manage", [False, False, True])],
)
async def test_a_key_is_limited_to_its_scopes_and_the_error_names_the_missing_one(
    platform: Platform, user: User, scope: str, may: list[bool]
) -> None:
    _, secret = await new_key(platform, user, scope)
    answers = [
        await platform.anonymous.get("/api/v1/agents?limit=1", headers=bearer(secret)),
        await platform.execute(question(), headers=bearer(secret)),
        await posted(platform, "api-keys", bearer(secret), name="another", scopes=[f"ACCESS_SCOPE_{scope.upper()}"]),
    ]
    assert [answer.status_code == 200 for answer in answers] == may
    for answer, lacks in zip(answers, ("read", "execute", "manage"), strict=True):
        if answer.status_code != 200:
            assert error_of(answer, 403, "POLICY_DENIED")["details"] == {"rule": "missing_scope", "scope": lacks}


async def test_a_stream_requires_its_scope(platform: Platform, user: User) -> None:
    _, secret = await new_key(platform, user, "read")
    answer = await platform.anonymous.post(f"/api/v1/agents/{AGENT}/stream", json={"input": "x"}, headers=bearer(secret))
    assert error_of(answer, 403, "POLICY_DENIED")["details"] == {"rule": "missing_scope", "scope": "execute"}


async def test_a_key_cannot_create_a_key_with_more_scopes(platform: Platform, user: User) -> None:
    _, secret = await new_key(platform, user, "manage")
    answer = await posted(platform, "api-keys", bearer(secret), name="more", scopes=["ACCESS_SCOPE_MANAGE", "ACCESS_SCOPE_EXECUTE"])
    assert error_of(answer, 403, "POLICY_DENIED")["details"] == {"rule": "missing_scope", "scope": "execute"}


async def test_denials_are_in_the_audit_log(platform: Platform) -> None:
    user = await new_user(platform)
    key_id, secret = await new_key(platform, user, "read")
    await platform.execute(question(), headers=bearer(secret))

    async def denials() -> list[Any]:
        return await platform.sql("SELECT subject, details FROM audit_log WHERE action = 'access.denied' AND actor_id = $1", user.user_id)

    (row,) = await eventually(denials)
    assert row["subject"] == f"execute {AGENT}"
    assert key_id in row["details"]


async def test_a_revoked_key_is_refused_at_once(platform: Platform, user: User) -> None:
    """Also where it was used a moment ago; revoking it again changes nothing."""
    key_id, secret = await new_key(platform, user)
    assert (await platform.anonymous.get(f"{AUTH}/me", headers=bearer(secret))).status_code == 200
    revoked = [(await platform.anonymous.delete(f"{KEYS}/{key_id}", headers=user.headers)).json()["api_key"] for _ in range(2)]
    assert revoked[0] == revoked[1]
    error_of(await platform.anonymous.get(f"{AUTH}/me", headers=bearer(secret)), 401, "AUTH_TOKEN_BLACKLISTED")


async def test_a_key_can_expire_but_not_in_the_past(platform: Platform, user: User) -> None:
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    assert (await create(platform, user, expires_at=later)).status_code == 200
    refused = await create(platform, user, expires_at="2020-01-01T00:00:00Z")
    assert error_of(refused, 422, "VALIDATION_ERROR")["details"]["field_violations"][0]["field"] == "expires_at"


@pytest.mark.parametrize("scopes", [[], ["ACCESS_SCOPE_UNSPECIFIED"], ["ACCESS_SCOPE_READ", "ACCESS_SCOPE_READ"]])
async def test_repeated_scopes_are_stored_once(platform: Platform, user: User, scopes: list[str]) -> None:
    error_of(await create(platform, user, scopes=scopes), 422, "VALIDATION_ERROR")


async def test_a_repeated_request_creates_one_key_and_does_not_show_its_secret_again(platform: Platform, user: User) -> None:
    key = secrets.token_hex(8)
    answers = await asyncio.gather(*(create(platform, user, {"idempotency-key": key}) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["api_key"]["api_key_id"] for answer in answers}) == 1
    assert sorted(bool(answer.json()["secret"]) for answer in answers) == [False, False, False, True]
    again = (await create(platform, user, idempotency_key=key)).json()
    assert (again["api_key"]["api_key_id"], again["secret"]) == (answers[0].json()["api_key"]["api_key_id"], "")


async def test_another_body_under_the_same_key_is_a_conflict(platform: Platform, user: User) -> None:
    key = secrets.token_hex(8)
    assert (await create(platform, user, idempotency_key=key)).status_code == 200
    for changed in ({"name": "another"}, {"scopes": ["ACCESS_SCOPE_EXECUTE"]}, {"expires_at": "2099-01-01T00:00:00Z"}):
        error_of(await create(platform, user, idempotency_key=key, **changed), 409, "IDEMPOTENCY_CONFLICT")
