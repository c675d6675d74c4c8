"""API keys: what they may do, how they are shown, and how they end."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.gateway.wire import error_of
from tests.e2e.definitions import AGENT
from tests.e2e.people import AUTH, Person, new_key, new_person, posted
from tests.e2e.platform import Platform, question
from tests.support.credentials import bearer
from tests.support.waiting import eventually

KEYS = f"{AUTH}/api-keys"
READ = ["ACCESS_SCOPE_READ"]


@pytest.fixture(scope="module")
async def person(shared_platform: Platform) -> Person:
    return await new_person(shared_platform)


async def create(platform: Platform, person: Person, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    body = {"name": "a key", "scopes": READ, **fields}
    return await platform.anonymous.post(KEYS, json=body, headers={**person.headers, **(headers or {})})


async def listed(platform: Platform, person: Person) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = (await platform.anonymous.get(KEYS, headers=person.headers)).json()["api_keys"]
    return keys


async def test_a_key_is_shown_once_and_then_known_by_its_prefix(platform: Platform, person: Person) -> None:
    made = (await create(platform, person, name="ci", scopes=["ACCESS_SCOPE_READ", "ACCESS_SCOPE_EXECUTE"])).json()
    assert len(made["secret"]) == 4 + 43
    assert made["secret"].startswith(made["api_key"]["prefix"])
    shown = next(key for key in await listed(platform, person) if key["api_key_id"] == made["api_key"]["api_key_id"])
    assert shown == made["api_key"]
    assert made["secret"] not in str(await listed(platform, person))
    assert (shown["name"], shown["scopes"]) == ("ci", ["ACCESS_SCOPE_READ", "ACCESS_SCOPE_EXECUTE"])
    assert "last_used_at" not in shown


async def test_keys_are_listed_the_newest_first_and_the_revoked_ones_too(platform: Platform) -> None:
    person = await new_person(platform)
    ids = [(await new_key(platform, person))[0] for _ in range(3)]
    (await platform.anonymous.delete(f"{KEYS}/{ids[1]}", headers=person.headers)).raise_for_status()
    keys = await listed(platform, person)
    assert [key["api_key_id"] for key in keys] == ids[::-1]
    assert [("revoked_at" in key) for key in keys] == [False, True, False]


async def test_a_use_is_noted(platform: Platform, person: Person) -> None:
    key_id, secret = await new_key(platform, person)
    assert (await platform.anonymous.get(f"{AUTH}/me", headers=bearer(secret))).status_code == 200
    used = next(key["last_used_at"] for key in await listed(platform, person) if key["api_key_id"] == key_id)
    assert abs(datetime.fromisoformat(used) - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("scope", "may"),
    [("read", [True, False, False]), ("execute", [False, True, False]), ("manage", [False, False, True])],
)
async def test_a_key_may_do_what_it_was_made_for_and_is_told_what_it_lacks(
    platform: Platform, person: Person, scope: str, may: list[bool]
) -> None:
    _, secret = await new_key(platform, person, scope)
    answers = [
        await platform.anonymous.get("/api/v1/agents?limit=1", headers=bearer(secret)),
        await platform.execute(question(), headers=bearer(secret)),
        await posted(platform, "api-keys", bearer(secret), name="another", scopes=[f"ACCESS_SCOPE_{scope.upper()}"]),
    ]
    assert [answer.status_code == 200 for answer in answers] == may
    for answer, lacks in zip(answers, ("read", "execute", "manage"), strict=True):
        if answer.status_code != 200:
            assert error_of(answer, 403, "POLICY_DENIED")["details"] == {"rule": "missing_scope", "scope": lacks}


async def test_a_stream_is_held_to_the_scope_as_well(platform: Platform, person: Person) -> None:
    _, secret = await new_key(platform, person, "read")
    answer = await platform.anonymous.post(f"/api/v1/agents/{AGENT}/stream", json={"input": "x"}, headers=bearer(secret))
    assert error_of(answer, 403, "POLICY_DENIED")["details"] == {"rule": "missing_scope", "scope": "execute"}


async def test_a_key_makes_no_key_that_may_do_more(platform: Platform, person: Person) -> None:
    _, secret = await new_key(platform, person, "manage")
    answer = await posted(platform, "api-keys", bearer(secret), name="more", scopes=["ACCESS_SCOPE_MANAGE", "ACCESS_SCOPE_EXECUTE"])
    assert error_of(answer, 403, "POLICY_DENIED")["details"] == {"rule": "missing_scope", "scope": "execute"}


async def test_denials_stand_in_the_audit_log(platform: Platform) -> None:
    person = await new_person(platform)
    key_id, secret = await new_key(platform, person, "read")
    await platform.execute(question(), headers=bearer(secret))

    async def denials() -> list[Any]:
        return await platform.sql("SELECT subject, details FROM audit_log WHERE action = 'access.denied' AND actor_id = $1", person.user_id)

    (row,) = await eventually(denials)
    assert row["subject"] == f"execute {AGENT}"
    assert key_id in row["details"]


async def test_a_revoked_key_is_refused_at_once(platform: Platform, person: Person) -> None:
    """Also where it was used a moment ago; to revoke it again changes nothing."""
    key_id, secret = await new_key(platform, person)
    assert (await platform.anonymous.get(f"{AUTH}/me", headers=bearer(secret))).status_code == 200
    revoked = [(await platform.anonymous.delete(f"{KEYS}/{key_id}", headers=person.headers)).json()["api_key"] for _ in range(2)]
    assert revoked[0] == revoked[1]
    error_of(await platform.anonymous.get(f"{AUTH}/me", headers=bearer(secret)), 401, "AUTH_TOKEN_BLACKLISTED")


async def test_a_key_can_expire_but_not_in_the_past(platform: Platform, person: Person) -> None:
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    assert (await create(platform, person, expires_at=later)).status_code == 200
    refused = await create(platform, person, expires_at="2020-01-01T00:00:00Z")
    assert error_of(refused, 422, "VALIDATION_ERROR")["details"]["field_violations"][0]["field"] == "expires_at"


@pytest.mark.parametrize("scopes", [[], ["ACCESS_SCOPE_UNSPECIFIED"], ["ACCESS_SCOPE_READ", "ACCESS_SCOPE_READ"]])
async def test_a_key_has_scopes_each_once(platform: Platform, person: Person, scopes: list[str]) -> None:
    error_of(await create(platform, person, scopes=scopes), 422, "VALIDATION_ERROR")


async def test_a_repeated_request_makes_one_key_and_does_not_show_its_secret_again(platform: Platform, person: Person) -> None:
    key = secrets.token_hex(8)
    answers = await asyncio.gather(*(create(platform, person, {"idempotency-key": key}) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["api_key"]["api_key_id"] for answer in answers}) == 1
    assert sorted(bool(answer.json()["secret"]) for answer in answers) == [False, False, False, True]
    again = (await create(platform, person, idempotency_key=key)).json()
    assert (again["api_key"]["api_key_id"], again["secret"]) == (answers[0].json()["api_key"]["api_key_id"], "")


async def test_another_body_under_the_same_key_is_a_conflict(platform: Platform, person: Person) -> None:
    key = secrets.token_hex(8)
    assert (await create(platform, person, idempotency_key=key)).status_code == 200
    for changed in ({"name": "another"}, {"scopes": ["ACCESS_SCOPE_EXECUTE"]}, {"expires_at": "2099-01-01T00:00:00Z"}):
        error_of(await create(platform, person, idempotency_key=key, **changed), 409, "IDEMPOTENCY_CONFLICT")
