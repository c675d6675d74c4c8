"""The command line for accounts, as an administrator uses it."""

import asyncio
import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from orchestrator.adapters.identity.passwords import BcryptPasswords
from orchestrator.adapters.identity.store import PostgresIdentityStore
from orchestrator.identity.sessions import hashed
from orchestrator.processes.accounts import main
from tests.adapters.orchestrator.looking import Connection

Outcome = tuple[int | None, str, str]


async def accounts(url: str, *arguments: str, text: str = "") -> Outcome:
    """The exit code, output and errors of a command that runs in this process: starting Python takes longer than the command."""

    def command() -> Outcome:
        output, errors = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, {"DATABASE_URL": url, "BCRYPT_ROUNDS": "4"}),
            patch("sys.stdin", io.StringIO(text)),
            redirect_stdout(output),
            redirect_stderr(errors),
        ):
            code = main(arguments)
        return code, output.getvalue(), errors.getvalue()

    return await asyncio.to_thread(command)


async def started(url: str, *arguments: str, text: str = "") -> Outcome:
    """The same of a command in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orchestrator.processes.accounts", *arguments),
        env={**os.environ, "DATABASE_URL": url, "BCRYPT_ROUNDS": "4"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate(text.encode())
    return process.returncode, output.decode(), errors.decode()


async def answer(url: str, *arguments: str, text: str = "") -> Any:
    code, output, errors = await accounts(url, *arguments, text=text)
    assert (code, errors) == (0, "")
    return json.loads(output)


async def fits(engine: AsyncEngine, username: str, password: str) -> bool:
    known = await PostgresIdentityStore(engine, 1).credentials(username)
    with BcryptPasswords(4) as passwords:
        return known is not None and await passwords.fits(password, known.password_hash)


async def actions(db: Connection, username: str) -> list[str]:
    return [row["action"] for row in await db.fetch("SELECT action FROM audit_log WHERE details ->> 'username' = $1 ORDER BY id", username)]


async def test_an_account_is_created_changed_and_deleted(books_url: str, engine: AsyncEngine, db: Connection) -> None:
    name = f"admin.{uuid7().hex}"
    made = await answer(books_url, "create", name, "--role", "admin", "--key", "laptop")
    assert (made["username"], made["role"]) == (name, "admin")
    assert await fits(engine, name, made["password"])
    store = PostgresIdentityStore(engine, 1)
    holder = await store.use_api_key(hashed(made["api_key"]))
    assert holder is not None
    assert (holder.user.username, holder.user.role, holder.key.name) == (name, "admin", "laptop")

    user_id = holder.user.user_id
    changed = {"user_id": user_id, "username": name, "role": "user", "disabled": False}
    assert await answer(books_url, "set-role", name.upper(), "user") == changed
    session_id = uuid7()
    async with store.begin() as work:
        await work.open_session(session_id, holder.user.user_id, holder.user.created_at, "192.0.2.1")
    reset = await answer(books_url, "reset-password", name)
    assert await fits(engine, name, reset["password"])
    assert not await fits(engine, name, made["password"])
    assert not await store.session_is_open(session_id)
    assert reset["revoked_keys"] == 1
    holder = await store.use_api_key(hashed(made["api_key"]))
    assert holder is not None
    assert holder.key.revoked_at is not None
    assert await store.use_api_key(hashed((await answer(books_url, "create-key", name, "ci"))["api_key"])) is not None
    assert await actions(db, name) == ["user.created", "role.changed", "password.reset"]
    keys = await db.fetch("SELECT details ->> 'name' AS name FROM audit_log WHERE action = 'api_key.created' ORDER BY id DESC LIMIT 2")
    assert [row["name"] for row in keys] == ["ci", "laptop"]


async def test_a_password_that_is_passed_in_is_not_printed(books_url: str, engine: AsyncEngine) -> None:
    name = f"user.{uuid7().hex}"
    code, output, errors = await started(books_url, "create", name, "--password-stdin", text="my own password\n")
    made = json.loads(output)
    assert (code, errors) == (0, "")
    assert (made["username"], made["role"], "password" in made) == (name, "user", False)
    assert await fits(engine, name, "my own password")


async def test_if_missing_leaves_an_existing_user_unchanged(books_url: str, engine: AsyncEngine) -> None:
    name = f"user.{uuid7().hex}"
    made = await answer(books_url, "create", name)
    again = await answer(books_url, "create", name.upper(), "--key", "second", "--if-missing")
    assert "password" not in again
    assert await fits(engine, name, made["password"])
    known = await PostgresIdentityStore(engine, 1).credentials(name)
    assert known is not None
    assert known.user.role == "user"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("set-role", "nobody.at.all", "admin"), "no user with the name 'nobody.at.all'"),
        (("reset-password", "nobody.at.all"), "no user"),
        (("create-key", "nobody.at.all", "x"), "no user"),
        (("create", "a b"), "letters, digits"),
        (("create", "Admin"), "reserved for an administrator"),
        (("disable", "nobody.at.all"), "no user"),
        (("list-keys", "nobody.at.all"), "no user"),
        (("end-sessions", "nobody.at.all"), "no user"),
        (("audit", "--user", "nobody.at.all"), "no user"),
        (("revoke-key", "00000000-0000-0000-0000-000000000001"), "API key '00000000-0000-0000-0000-000000000001' not found"),
        (("list-users", "--page-token", "x"), "next_page_token"),
    ],
)
async def test_an_error_is_reported_on_one_line(books_url: str, arguments: tuple[str, ...], message: str) -> None:
    code, output, errors = await accounts(books_url, *arguments)
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert message in errors


async def test_an_unreachable_database_is_reported(books_url: str) -> None:
    code, _, errors = await started("postgresql+asyncpg://u:hidden@127.0.0.1:1/x", "create-key", "a", "b")
    assert (code, errors.count("\n"), "hidden" in errors) == (1, 1, False)


async def test_a_password_with_a_control_character_is_refused(books_url: str) -> None:
    for character, name in (("\t", "U+0009"), ("\x7f", "U+007F"), ("\x00", "U+0000"), ("\x85", "U+0085")):
        code, output, errors = await accounts(
            books_url, "create", f"user.{uuid7().hex}", "--password-stdin", text=f"a pass{character}word\n"
        )
        assert (code, output, errors.count("\n")) == (1, "", 1)
        assert f"contains the control character {name} at position 7" in errors


async def test_a_user_who_registered_the_administrators_name_does_not_become_one(books_url: str) -> None:
    name = f"boss.{uuid7().hex}"
    await answer(books_url, "create", name)
    code, output, errors = await accounts(books_url, "create", name, "--role", "admin", "--key", "ready", "--if-missing")
    assert (code, output) == (1, "")
    assert f"user '{name}' exists and is not an administrator" in errors


async def test_a_password_reset_can_keep_the_keys(books_url: str, engine: AsyncEngine) -> None:
    name = f"user.{uuid7().hex}"
    made = await answer(books_url, "create", name, "--key", "ci")
    assert (await answer(books_url, "reset-password", name, "--keep-keys"))["revoked_keys"] == 0
    holder = await PostgresIdentityStore(engine, 1).use_api_key(hashed(made["api_key"]))
    assert holder is not None
    assert holder.key.revoked_at is None


async def test_users_keys_and_the_audit_log_are_listed_in_pages(books_url: str) -> None:
    name = f"user.{uuid7().hex}"
    made = await answer(books_url, "create", name, "--key", "first")
    await answer(books_url, "create-key", name, "second")
    first = await answer(books_url, "list-keys", name, "--limit", "1")
    second = await answer(books_url, "list-keys", name, "--limit", "1", "--page-token", first["next_page_token"])
    assert [key["name"] for key in (*first["api_keys"], *second["api_keys"])] == ["second", "first"]
    assert second["next_page_token"] == ""

    last = first["api_keys"][0]["api_key_id"]
    assert await answer(books_url, "revoke-key", last) == {"api_key_id": last, "revoked_keys": 1}
    assert await answer(books_url, "revoke-key", last) == {"api_key_id": last, "revoked_keys": 0}
    assert "revoked_at" in (await answer(books_url, "list-keys", name, "--limit", "1"))["api_keys"][0]

    users: list[Any] = []
    token = ""
    while token or not users:
        page = await answer(books_url, "list-users", "--limit", "200", "--page-token", token)
        users, token = [*users, *page["users"]], page["next_page_token"]
    assert {"user_id": made["user_id"], "username": name, "role": "user", "disabled": False} in users
    (entry,) = (await answer(books_url, "audit", "--action", "api_key.revoked", "--limit", "1"))["entries"]
    assert (entry["subject"], entry["actor_id"], entry["details"]["keys"]) == (last, None, 1)
    assert (await answer(books_url, "audit", "--user", name))["entries"] == []


async def test_an_enabled_user_has_its_keys_again_and_no_sessions(books_url: str, engine: AsyncEngine, db: Connection) -> None:
    name, store, session_id = f"user.{uuid7().hex}", PostgresIdentityStore(engine, 1), uuid7()
    made = await answer(books_url, "create", name, "--key", "ci")
    async with store.begin() as work:
        await work.open_session(session_id, made["user_id"], datetime.now(UTC), "")
    assert (await answer(books_url, "disable", name))["disabled"] is True
    assert not await store.session_is_open(session_id)
    assert (await answer(books_url, "enable", name))["disabled"] is False
    assert not await store.session_is_open(session_id)
    holder = await store.use_api_key(hashed(made["api_key"]))
    assert holder is not None
    assert (holder.key.revoked_at, holder.user.disabled_at) == (None, None)
    assert (await answer(books_url, "end-sessions", name))["ended_sessions"] == 0
    assert await actions(db, name) == ["user.created", "user.disabled", "user.enabled"]
