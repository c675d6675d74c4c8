"""Registration, login, refresh and logout, and what is stored about them."""

import asyncio
import json
import secrets
from typing import Any

import jwt
import pytest

from tests.contract.gateway.wire import error_of
from tests.e2e.platform import Platform
from tests.e2e.users import AUTH, User, logged_in, login, new_name, new_user, posted, register
from tests.support.credentials import bearer

OF_USER = "session_id IN (SELECT session_id FROM sessions WHERE user_id = $1)"


@pytest.fixture
async def user(platform: Platform) -> User:
    return await new_user(platform)


async def refresh(platform: Platform, token: str) -> Any:
    return await posted(platform, "refresh", refresh_token=token)


async def me(platform: Platform, token: str) -> Any:
    return await platform.anonymous.get(f"{AUTH}/me", headers=bearer(token))


async def use_long_ago(platform: Platform, user: User) -> None:
    """Make every use of the user's refresh tokens 11 seconds older."""
    await platform.sql(f"UPDATE refresh_tokens SET used_at = used_at - interval '11 s' WHERE {OF_USER}", user.user_id)


async def test_an_access_token_has_the_documented_claims(platform: Platform, user: User) -> None:
    header, claims = jwt.get_unverified_header(user.access_token), jwt.decode(user.access_token, options={"verify_signature": False})
    assert header == {"alg": "HS256", "typ": "at+jwt"}
    assert sorted(claims) == ["aud", "exp", "iat", "iss", "jti", "sub", "username"]
    assert (claims["sub"], claims["username"], claims["iss"], claims["aud"]) == (
        *(str(user.user_id), user.username, "agentmesh", "agentmesh-api"),
    )
    assert claims["exp"] - claims["iat"] == 3600


async def test_a_login_returns_the_type_and_lifetime_of_the_token(platform: Platform, user: User) -> None:
    answer = (await login(platform, user.username, user.password)).json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
    known = (await me(platform, answer["access_token"])).json()
    assert (known["user"]["username"], known["user"]["role"]) == (user.username, "USER_ROLE_USER")
    assert known["scopes"] == ["ACCESS_SCOPE_READ", "ACCESS_SCOPE_EXECUTE", "ACCESS_SCOPE_MANAGE"]


async def test_usernames_are_unique_regardless_of_case(platform: Platform, user: User) -> None:
    refused = await register(platform, username=user.username.upper(), password="another password")
    assert error_of(refused, 409, "USERNAME_TAKEN")["details"]["username"] == user.username.upper()
    assert (await login(platform, user.username.upper(), user.password)).status_code == 200


async def test_only_one_of_many_concurrent_registrations_gets_the_name(platform: Platform) -> None:
    name = new_name()
    answers = await asyncio.gather(*(register(platform, username=name, password="the same password") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


async def test_a_wrong_password_and_an_unknown_name_have_the_same_error(platform: Platform, user: User) -> None:
    wrong, unknown = await login(platform, user.username, "wrong password"), await login(platform, new_name(), "wrong password")
    errors = [error_of(answer, 401, "AUTH_INVALID_CREDENTIALS") for answer in (wrong, unknown)]
    assert errors[0]["message"] == errors[1]["message"]
    assert errors[0]["details"] == errors[1]["details"] == {}


@pytest.mark.parametrize("password", ["x" * 73, "ü" * 37, "🙂" * 19], ids=["ascii", "two bytes", "four bytes"])
async def test_a_password_of_more_than_72_bytes_is_refused_by_register_and_login(platform: Platform, password: str) -> None:
    for answer in (await register(platform, username=new_name(), password=password), await login(platform, "somebody", password)):
        violations = error_of(answer, 422, "VALIDATION_ERROR")["details"]["field_violations"]
        assert [violation["field"] for violation in violations] == ["password"]


async def test_all_72_bytes_of_a_password_are_compared(platform: Platform) -> None:
    name, password = new_name(), "ü" * 36
    assert (await register(platform, username=name, password=password)).status_code == 200
    error_of(await login(platform, name, "ü" * 35 + "uu"), 401, "AUTH_INVALID_CREDENTIALS")
    assert (await login(platform, name, password)).status_code == 200


@pytest.mark.parametrize("username", ["\x00", "no\x00body", "' OR 1=1 --", "ünïcode", "x" * 255, " admin"])
async def test_an_impossible_username_has_the_same_error_as_an_unknown_one(platform: Platform, username: str) -> None:
    error_of(await login(platform, username, "some password"), 401, "AUTH_INVALID_CREDENTIALS")


async def test_a_refresh_token_can_be_used_once_and_then_its_successor(platform: Platform, user: User) -> None:
    first = (await refresh(platform, user.refresh_token)).json()
    second = (await refresh(platform, first["refresh_token"])).json()
    assert len({user.refresh_token, first["refresh_token"], second["refresh_token"]}) == 3
    assert (await me(platform, second["access_token"])).status_code == 200


async def test_a_refresh_token_repeated_at_once_returns_the_same_successor(platform: Platform, user: User) -> None:
    """As from two browser tabs, or a client that missed the response; also concurrently."""
    answers = await asyncio.gather(*(refresh(platform, user.refresh_token) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert (await refresh(platform, answers[0].json()["refresh_token"])).status_code == 200


async def test_a_refresh_token_repeated_later_ends_the_whole_session(platform: Platform, user: User) -> None:
    """One of the two users of the token is a thief, so neither keeps the session."""
    next_tokens = (await refresh(platform, user.refresh_token)).json()
    await use_long_ago(platform, user)
    error_of(await refresh(platform, user.refresh_token), 401, "AUTH_INVALID_CREDENTIALS")
    error_of(await refresh(platform, next_tokens["refresh_token"]), 401, "AUTH_INVALID_CREDENTIALS")
    for token in (user.access_token, next_tokens["access_token"]):
        error_of(await me(platform, token), 401, "AUTH_TOKEN_BLACKLISTED")
    assert "refresh_token.reused" in await audited(platform, user)


async def test_an_old_refresh_token_has_expired(platform: Platform, user: User) -> None:
    await platform.sql(f"UPDATE refresh_tokens SET expires_at = now() WHERE {OF_USER}", user.user_id)
    error_of(await refresh(platform, user.refresh_token), 401, "AUTH_TOKEN_EXPIRED")


@pytest.mark.parametrize("token", ["amr_" + "A" * 43, "nonsense", "ü", "x" * 512])
async def test_an_unknown_refresh_token_is_refused(platform: Platform, token: str) -> None:
    error_of(await refresh(platform, token), 401, "AUTH_INVALID_CREDENTIALS")


async def test_a_logout_ends_only_its_own_session(platform: Platform, user: User) -> None:
    other = await logged_in(platform, user.user_id, user.username, user.password)
    refreshed = (await refresh(platform, user.refresh_token)).json()
    assert (await posted(platform, "logout", user.headers)).status_code == 200
    for token in (user.access_token, refreshed["access_token"]):
        error_of(await me(platform, token), 401, "AUTH_TOKEN_BLACKLISTED")
    error_of(await refresh(platform, refreshed["refresh_token"]), 401, "AUTH_INVALID_CREDENTIALS")
    error_of(await posted(platform, "logout", user.headers), 401, "AUTH_TOKEN_BLACKLISTED")
    assert (await me(platform, other.access_token)).status_code == 200


async def test_an_api_key_has_no_session_to_end(platform: Platform) -> None:
    error_of(await platform.http.post(f"{AUTH}/logout"), 401, "AUTH_INVALID_CREDENTIALS")


async def test_registrations_and_logins_are_in_the_events_and_the_audit_log(platform: Platform, user: User) -> None:
    await login(platform, user.username, "wrong password")
    rows = await platform.sql(
        "SELECT event_type, data, metadata FROM outbox WHERE aggregate_id = $1 ORDER BY id",
        str(user.user_id),
    )
    events = [(row["event_type"], json.loads(row["data"])) for row in rows]
    assert events == [
        ("user.registered", {"user_id": user.user_id, "username": user.username}),
        ("user.logged_in", {"user_id": user.user_id, "username": user.username, "ip_address": "127.0.0.1"}),
    ]
    assert all(json.loads(row["metadata"])["request_id"].startswith("req_") for row in rows)
    assert await audited(platform, user) == ["user.registered", "login.succeeded", "login.failed"]


async def audited(platform: Platform, user: User) -> list[str]:
    rows = await platform.sql("SELECT action FROM audit_log WHERE actor_id = $1 ORDER BY id", user.user_id)
    return [row["action"] for row in rows]


async def test_a_forged_forwarded_address_is_not_recorded(platform: Platform, user: User) -> None:
    """Only the gateway's own forwarded address is trusted."""
    body = {"username": user.username, "password": user.password}
    (
        await platform.anonymous.post(
            f"{AUTH}/login", json=body, headers={"x-forwarded-for": "203.0.113.9", "x-mesh-client": "203.0.113.9"}
        )
    ).raise_for_status()
    (row,) = await platform.sql("SELECT DISTINCT ip FROM audit_log WHERE actor_id = $1", user.user_id)
    assert row["ip"] == "127.0.0.1"


async def test_no_secret_is_stored_or_logged(platform: Platform) -> None:
    """Neither passwords nor tokens, in any table or log."""
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
