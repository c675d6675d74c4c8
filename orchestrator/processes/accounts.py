"""`python -m orchestrator.processes.accounts`: administers accounts, with direct access to the database. Changes are audited.

It writes JSON to standard output; `--help` lists the commands. Passwords are generated and printed once, or read from standard input with
`--password-stdin`.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from mesh.errors import MeshError
from mesh.rpc.requests.paging import DEFAULT_PAGE, LARGEST_PAGE, number_token, page_token, read_number_token, read_page_token
from mesh.secret_files import FileSettings
from mesh.security.caller import Role
from mesh.settings import explain
from orchestrator.adapters.identity.lists import PostgresIdentityLists
from orchestrator.adapters.identity.passwords import BcryptPasswords
from orchestrator.adapters.identity.store import PostgresIdentityStore
from orchestrator.adapters.postgres.engine import DatabaseUrl
from orchestrator.composition.database import open_database
from orchestrator.identity.administration import AccountError, Administration, new_password
from orchestrator.identity.errors import UsernameTaken
from orchestrator.identity.model import ApiKey, AuditRecord, User

REFRESH_DAYS_UNUSED = 0.0
"""This process opens no session."""
Answer = Mapping[str, Any]
Run = Callable[[Administration, argparse.Namespace], Awaitable[Answer]]


class AccountsSettings(FileSettings):
    """The settings, read once from the environment."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: DatabaseUrl
    """PostgreSQL, as `postgresql+asyncpg://user:password@host:port/database`."""
    bcrypt_rounds: int = Field(default=12, ge=4, le=16)
    """The cost of a password hash."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. Errors are printed as one line on standard error."""
    options = parser().parse_args(arguments)
    try:
        settings = AccountsSettings()
    except ValueError as error:
        sys.stderr.write(f"accounts: {explain(error) if isinstance(error, ValidationError) else error}\n")
        return 2
    try:
        answer = asyncio.run(run(settings, options))
    except MeshError as error:
        sys.stderr.write(f"accounts: {error.message}\n")
        return 1
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


async def run(settings: AccountsSettings, options: argparse.Namespace) -> Answer:
    """Runs the command on an up-to-date schema."""
    async with AsyncExitStack() as stack:
        engine = await open_database(stack, settings.database_url, 1, 0)
        with BcryptPasswords(settings.bcrypt_rounds) as passwords:
            store, lists = PostgresIdentityStore(engine, REFRESH_DAYS_UNUSED), PostgresIdentityLists(engine)
            return await BY_NAME[options.command].run(Administration(store, lists, passwords), options)


async def _create(administration: Administration, options: argparse.Namespace) -> Answer:
    password, role = _password(options), Role(options.role)
    answer: dict[str, Any] = {"username": options.name}
    try:
        user = await administration.create(options.name, password, role)
        answer |= {"user_id": user.user_id, "role": user.role, **_shown(options, password)}
    except UsernameTaken:
        if not options.if_missing:
            raise
        user = await administration.user(options.name)
        if role is Role.ADMIN and user.role is not Role.ADMIN:
            problem = f"user '{user.username}' exists and is not an administrator"
            raise AccountError(f"{problem}; check who registered it, then use set-role or another name") from None
    return answer | ({"api_key": await administration.create_key(options.name, options.key)} if options.key else {})


async def _reset_password(administration: Administration, options: argparse.Namespace) -> Answer:
    password = _password(options)
    user, revoked = await administration.reset_password(options.name, password, keep_keys=options.keep_keys)
    return {"username": user.username, "revoked_keys": revoked, **_shown(options, password)}


async def _set_role(administration: Administration, options: argparse.Namespace) -> Answer:
    return _user(await administration.update(options.name, role=Role(options.role)))


async def _disable(administration: Administration, options: argparse.Namespace) -> Answer:
    return _user(await administration.update(options.name, disabled=True))


async def _enable(administration: Administration, options: argparse.Namespace) -> Answer:
    return _user(await administration.update(options.name, disabled=False))


async def _list_users(administration: Administration, options: argparse.Namespace) -> Answer:
    page = await administration.users(options.limit, read_number_token(options.page_token))
    return {"users": [_user(user) for user in page.items], "next_page_token": number_token(page.items[-1].user_id) if page.more else ""}


async def _create_key(administration: Administration, options: argparse.Namespace) -> Answer:
    return {"username": options.name, "api_key": await administration.create_key(options.name, options.label)}


async def _list_keys(administration: Administration, options: argparse.Namespace) -> Answer:
    page = await administration.keys(options.name, options.limit, read_page_token(options.page_token))
    return {"api_keys": [_key(key) for key in page.items], "next_page_token": page_token(page.items[-1].api_key_id) if page.more else ""}


async def _revoke_key(administration: Administration, options: argparse.Namespace) -> Answer:
    return {"api_key_id": str(options.api_key_id), "revoked_keys": await administration.revoke_key(options.api_key_id)}


async def _end_sessions(administration: Administration, options: argparse.Namespace) -> Answer:
    return {"username": options.name, "ended_sessions": await administration.end_sessions(options.name)}


async def _audit(administration: Administration, options: argparse.Namespace) -> Answer:
    after = read_number_token(options.page_token)
    page = await administration.audit_entries(options.user, options.action, options.limit, after)
    return {"entries": [_entry(one) for one in page.items], "next_page_token": number_token(page.items[-1].entry_id) if page.more else ""}


def _password(options: argparse.Namespace) -> str:
    return sys.stdin.readline().rstrip("\n") if options.password_stdin else new_password()


def _shown(options: argparse.Namespace, password: str) -> Mapping[str, str]:
    return {} if options.password_stdin else {"password": password}


def _user(user: User) -> Answer:
    disabled = user.disabled_at is not None
    return {"user_id": user.user_id, "username": user.username, "role": user.role, "disabled": disabled}


def _key(key: ApiKey) -> Answer:
    times = {"expires_at": key.expires_at, "last_used_at": key.last_used_at, "revoked_at": key.revoked_at}
    known = {name: at.isoformat() for name, at in times.items() if at is not None}
    return {"api_key_id": str(key.api_key_id), "name": key.name, "prefix": key.prefix, "scopes": sorted(key.scopes), **known}


def _entry(record: AuditRecord) -> Answer:
    entry, origin = record.entry, record.entry.origin
    where = {"address": origin.ip, "request_id": origin.request_id}
    what = {"action": entry.action, "actor_id": entry.actor_id, "subject": entry.subject, "details": dict(entry.details)}
    return {"entry_id": record.entry_id, "at": record.at.isoformat(), **what, **where}


def _size(text: str) -> int:
    size = int(text)
    if not 1 <= size <= LARGEST_PAGE:
        raise argparse.ArgumentTypeError(f"must be 1 to {LARGEST_PAGE}, not {text}")
    return size


Argument = tuple[str, dict[str, Any]]
_NAME: Argument = ("name", {"metavar": "NAME"})
_ROLES = [role.value for role in Role]
_STDIN: Argument = ("--password-stdin", {"action": "store_true", "help": "read the password from standard input"})
_PAGE: tuple[Argument, ...] = (
    (
        "--limit",
        {"type": _size, "default": DEFAULT_PAGE, "help": f"maximum number of entries, 1 to {LARGEST_PAGE} (default {DEFAULT_PAGE})"},
    ),
    ("--page-token", {"default": "", "metavar": "TOKEN", "help": "the next_page_token of the previous page"}),
)


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    help: str
    run: Run
    arguments: tuple[Argument, ...]


_CREATE_OPTIONS: tuple[Argument, ...] = (
    ("--role", {"choices": _ROLES, "default": Role.USER.value}),
    ("--key", {"metavar": "LABEL", "help": "also create an API key with every scope, and print it"}),
    ("--if-missing", {"action": "store_true", "help": "leave an existing user as it is"}),
)
COMMANDS = (
    Command("create", "create a user; prints the password", _create, (_NAME, *_CREATE_OPTIONS, _STDIN)),
    Command("list-users", "list users by id", _list_users, _PAGE),
    Command("set-role", "change a user's role", _set_role, (_NAME, ("role", {"choices": _ROLES}))),
    Command("disable", "refuse all credentials of a user, and end all sessions", _disable, (_NAME,)),
    Command("enable", "undo disable; API keys work again, sessions stay ended", _enable, (_NAME,)),
    Command(
        "reset-password",
        "set a new password and print it; ends all sessions and revokes all API keys",
        _reset_password,
        (_NAME, ("--keep-keys", {"action": "store_true", "help": "leave the API keys valid"}), _STDIN),
    ),
    Command("create-key", "create an API key with every scope; prints it", _create_key, (_NAME, ("label", {"metavar": "LABEL"}))),
    Command("list-keys", "list a user's API keys, newest first", _list_keys, (_NAME, *_PAGE)),
    Command(
        "revoke-key", "revoke an API key, and the keys that it created", _revoke_key, (("api_key_id", {"type": UUID, "metavar": "ID"}),)
    ),
    Command("end-sessions", "end all sessions of a user", _end_sessions, (_NAME,)),
    Command(
        "audit",
        "list the audit log, newest entries first",
        _audit,
        (
            ("--user", {"default": "", "metavar": "NAME", "help": "only what this user did"}),
            ("--action", {"default": "", "help": "only entries with this action, e.g. login.failed"}),
            *_PAGE,
        ),
    ),
)
BY_NAME = {command.name: command for command in COMMANDS}


def parser() -> argparse.ArgumentParser:
    outer = argparse.ArgumentParser(
        prog="python -m orchestrator.processes.accounts", description="Administers the accounts in the database of DATABASE_URL."
    )
    commands = outer.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        added = commands.add_parser(command.name, help=command.help)
        for name, options in command.arguments:
            added.add_argument(name, **options)
    return outer


if __name__ == "__main__":
    sys.exit(main())
