"""The command for accounts, as an administrator types it."""

import asyncio
import json
import os
import sys
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from orchestrator.adapters.identity.passwords import BcryptPasswords
from orchestrator.adapters.identity.store import PostgresIdentityStore
from orchestrator.identity.errors import TooManyAttempts
from orchestrator.identity.sessions import hashed
from tests.adapters.orchestrator.looking import Connection


async def accounts(url: str, *arguments: str, text: str = "") -> tuple[int | None, str, str]:
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
    return [row["action"] for row in await db.fetch("SELECT action FROM audit_log WHERE subject = $1 ORDER BY id", username)]


async def test_an_account_from_its_beginning_on(books_url: str, engine: AsyncEngine, db: Connection) -> None:
    name = f"admin.{uuid7().hex}"
    made = await answer(books_url, "create", name, "--role", "admin", "--key", "laptop")
    assert (made["username"], made["role"]) == (name, "admin")
    assert await fits(engine, name, made["password"])
    store = PostgresIdentityStore(engine, 1)
    holder = await store.use_api_key(hashed(made["api_key"]))
    assert holder is not None
    assert (holder.user.username, holder.user.role, holder.key.name) == (name, "admin", "laptop")

    assert await answer(books_url, "set-role", name.upper(), "user") == {"username": name, "role": "user"}
    session_id = uuid7()
    async with store.begin() as work:
        await work.open_session(session_id, holder.user.user_id, holder.user.created_at)
    reset = await answer(books_url, "reset-password", name)
    assert await fits(engine, name, reset["password"])
    assert not await fits(engine, name, made["password"])
    assert not await store.session_is_open(session_id)
    assert await store.use_api_key(hashed((await answer(books_url, "create-key", name, "ci"))["api_key"])) is not None
    assert await actions(db, name) == ["user.registered", "role.changed", "password.reset"]
    keys = await db.fetch("SELECT details ->> 'name' AS name FROM audit_log WHERE action = 'api_key.created' ORDER BY id DESC LIMIT 2")
    assert [row["name"] for row in keys] == ["ci", "laptop"]


async def test_a_password_can_be_given_and_is_then_not_shown(books_url: str, engine: AsyncEngine) -> None:
    name = f"user.{uuid7().hex}"
    made = await answer(books_url, "create", name, "--password-stdin", text="my own password\n")
    assert made == {"username": name, "role": "user"}
    assert await fits(engine, name, "my own password")


async def test_a_user_that_is_there_is_left_as_it_is_where_that_is_asked_for(books_url: str, engine: AsyncEngine) -> None:
    name = f"user.{uuid7().hex}"
    made = await answer(books_url, "create", name)
    again = await answer(books_url, "create", name.upper(), "--role", "admin", "--key", "second", "--if-missing")
    assert "password" not in again
    assert await fits(engine, name, made["password"])
    known = await PostgresIdentityStore(engine, 1).credentials(name)
    assert known is not None
    assert known.user.role == "user"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("set-role", "nobody.at.all", "admin"), "no user with the name 'nobody.at.all'"),
        (("reset-password", "nobody.at.all"), "no user"),
        (("create-key", "nobody.at.all", "x"), "no user"),
        (("create", "a b"), "letters, digits"),
    ],
)
async def test_what_cannot_be_done_is_told_in_a_line(books_url: str, arguments: tuple[str, ...], told: str) -> None:
    code, output, errors = await accounts(books_url, *arguments)
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert told in errors


async def test_without_a_database_that_is_told(books_url: str) -> None:
    code, _, errors = await accounts("postgresql+asyncpg://u:hidden@127.0.0.1:1/x", "create-key", "a", "b")
    assert (code, errors.count("\n"), "hidden" in errors) == (1, 1, False)


async def test_the_queue_for_hashing_is_short_and_says_when_to_come_again() -> None:
    with BcryptPasswords(4) as passwords:
        hold = asyncio.Event()

        async def taken() -> None:
            async with passwords.turn():
                await hold.wait()

        waiting = [asyncio.create_task(taken()) for _ in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyAttempts) as refused:
            async with passwords.turn():
                pass
        assert refused.value.retry_after_seconds == 2
        hold.set()
        await asyncio.gather(*waiting)
        async with passwords.turn():
            assert not await passwords.fits("any", None)
