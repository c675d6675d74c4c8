"""Users come, stay and go: registration, login, refresh, logout, and what is kept of it."""

import asyncio
import json
import secrets
from typing import Any

import jwt
import pytest

from tests.contract.gateway.wire import error_of
from tests.e2e.people import AUTH, Person, logged_in, login, new_name, new_person, posted, register
from tests.e2e.platform import Platform
from tests.support.credentials import bearer

OF_USER = "session_id IN (SELECT session_id FROM sessions WHERE user_id = $1)"


@pytest.fixture
async def person(platform: Platform) -> Person:
    return await new_person(platform)


async def refresh(platform: Platform, token: str) -> Any:
    return await posted(platform, "refresh", refresh_token=token)


async def me(platform: Platform, token: str) -> Any:
    return await platform.anonymous.get(f"{AUTH}/me", headers=bearer(token))


async def use_long_ago(platform: Platform, person: Person) -> None:
    """Makes every use of the person's refresh tokens 11 seconds older."""
    await platform.sql(f"UPDATE refresh_tokens SET used_at = used_at - interval '11 s' WHERE {OF_USER}", person.user_id)


async def test_an_access_token_has_the_documented_claims(platform: Platform, person: Person) -> None:
    header, claims = jwt.get_unverified_header(person.access_token), jwt.decode(person.access_token, options={"verify_signature": False})
    assert header == {"alg": "HS256", "typ": "at+jwt"}
    assert sorted(claims) == ["aud", "exp", "iat", "iss", "jti", "sub", "username"]
    assert (claims["sub"], claims["username"], claims["iss"], claims["aud"]) == (
        *(str(person.user_id), person.username, "agentmesh", "agentmesh-api"),
    )
    assert claims["exp"] - claims["iat"] == 3600


async def test_a_login_tells_what_the_token_is(platform: Platform, person: Person) -> None:
    answer = (await login(platform, person.username, person.password)).json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
    known = (await me(platform, answer["access_token"])).json()
    assert (known["user"]["username"], known["user"]["role"]) == (person.username, "USER_ROLE_USER")
    assert known["scopes"] == ["ACCESS_SCOPE_READ", "ACCESS_SCOPE_EXECUTE", "ACCESS_SCOPE_MANAGE"]


async def test_a_name_is_taken_whatever_its_case(platform: Platform, person: Person) -> None:
    refused = await register(platform, username=person.username.upper(), password="another password")
    assert error_of(refused, 409, "USERNAME_TAKEN")["details"]["username"] == person.username.upper()
    assert (await login(platform, person.username.upper(), person.password)).status_code == 200


async def test_of_many_who_want_a_name_at_once_one_gets_it(platform: Platform) -> None:
    name = new_name()
    answers = await asyncio.gather(*(register(platform, username=name, password="the same password") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


async def test_a_wrong_password_and_an_unknown_name_are_answered_alike(platform: Platform, person: Person) -> None:
    wrong, unknown = await login(platform, person.username, "wrong password"), await login(platform, new_name(), "wrong password")
    errors = [error_of(answer, 401, "AUTH_INVALID_CREDENTIALS") for answer in (wrong, unknown)]
    assert errors[0]["message"] == errors[1]["message"]
    assert errors[0]["details"] == errors[1]["details"] == {}


@pytest.mark.parametrize("password", ["x" * 73, "ü" * 37, "🙂" * 19], ids=["ascii", "two bytes", "four bytes"])
async def test_a_password_of_more_than_72_bytes_is_refused_by_register_and_login(platform: Platform, password: str) -> None:
    for answer in (await register(platform, username=new_name(), password=password), await login(platform, "somebody", password)):
        violations = error_of(answer, 422, "VALIDATION_ERROR")["details"]["field_violations"]
        assert [violation["field"] for violation in violations] == ["password"]


async def test_a_password_of_72_bytes_counts_to_the_last(platform: Platform) -> None:
    name, password = new_name(), "ü" * 36
    assert (await register(platform, username=name, password=password)).status_code == 200
    error_of(await login(platform, name, "ü" * 35 + "uu"), 401, "AUTH_INVALID_CREDENTIALS")
    assert (await login(platform, name, password)).status_code == 200


@pytest.mark.parametrize("username", ["\x00", "no\x00body", "' OR 1=1 --", "ünïcode", "x" * 255, " admin"])
async def test_what_can_be_nobodys_name_is_answered_like_an_unknown_one(platform: Platform, username: str) -> None:
    error_of(await login(platform, username, "some password"), 401, "AUTH_INVALID_CREDENTIALS")


async def test_a_refresh_token_works_once_and_its_successor_after_it(platform: Platform, person: Person) -> None:
    first = (await refresh(platform, person.refresh_token)).json()
    second = (await refresh(platform, first["refresh_token"])).json()
    assert len({person.refresh_token, first["refresh_token"], second["refresh_token"]}) == 3
    assert (await me(platform, second["access_token"])).status_code == 200


async def test_a_refresh_token_that_comes_again_at_once_has_the_same_successor(platform: Platform, person: Person) -> None:
    """Two tabs, or a client that missed the answer: also when they come at the same moment."""
    answers = await asyncio.gather(*(refresh(platform, person.refresh_token) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert (await refresh(platform, answers[0].json()["refresh_token"])).status_code == 200


async def test_a_refresh_token_that_comes_again_later_ends_the_whole_session(platform: Platform, person: Person) -> None:
    """Either the one who uses it or the one who used it is a thief: neither keeps anything."""
    next_tokens = (await refresh(platform, person.refresh_token)).json()
    await use_long_ago(platform, person)
    error_of(await refresh(platform, person.refresh_token), 401, "AUTH_INVALID_CREDENTIALS")
    error_of(await refresh(platform, next_tokens["refresh_token"]), 401, "AUTH_INVALID_CREDENTIALS")
    for token in (person.access_token, next_tokens["access_token"]):
        error_of(await me(platform, token), 401, "AUTH_TOKEN_BLACKLISTED")
    assert "refresh_token.reused" in await audited(platform, person)


async def test_an_old_refresh_token_has_expired(platform: Platform, person: Person) -> None:
    await platform.sql(f"UPDATE refresh_tokens SET expires_at = now() WHERE {OF_USER}", person.user_id)
    error_of(await refresh(platform, person.refresh_token), 401, "AUTH_TOKEN_EXPIRED")


@pytest.mark.parametrize("token", ["amr_" + "A" * 43, "nonsense", "ü", "x" * 512])
async def test_a_refresh_token_that_never_was_is_refused(platform: Platform, token: str) -> None:
    error_of(await refresh(platform, token), 401, "AUTH_INVALID_CREDENTIALS")


async def test_a_logout_ends_its_own_session_and_no_other(platform: Platform, person: Person) -> None:
    other = await logged_in(platform, person.user_id, person.username, person.password)
    refreshed = (await refresh(platform, person.refresh_token)).json()
    assert (await posted(platform, "logout", person.headers)).status_code == 200
    for token in (person.access_token, refreshed["access_token"]):
        error_of(await me(platform, token), 401, "AUTH_TOKEN_BLACKLISTED")
    error_of(await refresh(platform, refreshed["refresh_token"]), 401, "AUTH_INVALID_CREDENTIALS")
    error_of(await posted(platform, "logout", person.headers), 401, "AUTH_TOKEN_BLACKLISTED")
    assert (await me(platform, other.access_token)).status_code == 200


async def test_an_api_key_has_no_session_to_end(platform: Platform) -> None:
    error_of(await platform.http.post(f"{AUTH}/logout"), 401, "AUTH_INVALID_CREDENTIALS")


async def test_the_world_and_the_audit_log_are_told_of_registrations_and_logins(platform: Platform, person: Person) -> None:
    await login(platform, person.username, "wrong password")
    rows = await platform.sql(
        "SELECT event_type, data, metadata FROM outbox WHERE aggregate_id = $1 ORDER BY id",
        str(person.user_id),
    )
    events = [(row["event_type"], json.loads(row["data"])) for row in rows]
    assert events == [
        ("user.registered", {"user_id": person.user_id, "username": person.username}),
        ("user.logged_in", {"user_id": person.user_id, "username": person.username, "ip_address": "127.0.0.1"}),
    ]
    assert all(json.loads(row["metadata"])["request_id"].startswith("req_") for row in rows)
    assert await audited(platform, person) == ["user.registered", "login.succeeded", "login.failed"]


async def audited(platform: Platform, person: Person) -> list[str]:
    rows = await platform.sql("SELECT action FROM audit_log WHERE actor_id = $1 ORDER BY id", person.user_id)
    return [row["action"] for row in rows]


async def test_a_forged_address_is_not_believed(platform: Platform, person: Person) -> None:
    """What a caller writes about itself is not the gateway's word."""
    body = {"username": person.username, "password": person.password}
    (
        await platform.anonymous.post(
            f"{AUTH}/login", json=body, headers={"x-forwarded-for": "203.0.113.9", "x-mesh-client": "203.0.113.9"}
        )
    ).raise_for_status()
    (row,) = await platform.sql("SELECT DISTINCT ip FROM audit_log WHERE actor_id = $1", person.user_id)
    assert row["ip"] == "127.0.0.1"


async def test_no_secret_is_stored_or_logged(platform: Platform) -> None:
    """Neither passwords nor tokens, in any table or any log."""
    name, password = new_name(), secrets.token_urlsafe(16)
    assert (await register(platform, username=name, password=password)).status_code == 200
    tokens = (await login(platform, name, password)).json()
    successor = (await refresh(platform, tokens["refresh_token"])).json()
    hidden = [password, tokens["access_token"], tokens["refresh_token"], successor["refresh_token"]]
    for table in ("users", "sessions", "refresh_tokens", "api_keys", "audit_log", "outbox"):
        text = "\n".join(row[0] for row in await platform.sql(f"SELECT t::text FROM {table} t"))
        assert not [secret for secret in hidden if secret in text], table
    for process in ("orchestrator", "envoy", "envoy.access"):
        log = platform.stack.state.log(process)
        text = log.read_text() if log.exists() else ""
        assert not [secret for secret in hidden if secret in text], process
