"""`python -m orchestrator.processes.accounts`: what an administrator with the database's address does to accounts; everything is audited.

    create NAME [--role admin] [--key LABEL] [--if-missing]   makes a user, and perhaps an API key
    set-role NAME user|admin                                  changes what a user may do
    reset-password NAME                                       gives a new password, and ends all sessions
    create-key NAME LABEL                                     makes an API key with every scope

Answers are JSON on standard output. Passwords are made here and shown once; `--password-stdin` reads one instead.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from mesh.errors import MeshError
from mesh.security.caller import Role
from mesh.settings import explain
from orchestrator.adapters.identity.passwords import BcryptPasswords
from orchestrator.adapters.identity.store import PostgresIdentityStore
from orchestrator.adapters.postgres.engine import create_engine, migrate, unavailable
from orchestrator.identity.administration import Administration, new_password
from orchestrator.identity.errors import UsernameTaken

REFRESH_DAYS_UNUSED = 0.0
"""No session begins here."""


class AccountsSettings(BaseSettings):
    """Read from the environment, once."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: str
    """PostgreSQL, as `postgresql+asyncpg://user:password@host:port/database`."""
    bcrypt_rounds: int = Field(default=12, ge=4, le=16)
    """What a password hash costs."""


def main() -> int:
    """Runs one command; returns its exit code. What cannot be done is told in one line on standard error."""
    options = parser().parse_args()
    try:
        answer = asyncio.run(run(AccountsSettings(), options))
    except ValidationError as error:
        sys.stderr.write(f"accounts: {explain(error)}\n")
        return 2
    except MeshError as error:
        sys.stderr.write(f"accounts: {error.message}\n")
        return 1
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


async def run(settings: AccountsSettings, options: argparse.Namespace) -> Mapping[str, Any]:
    """Does what was asked for, on an up-to-date schema."""
    engine = create_engine(settings.database_url, 1, 0)
    try:
        with unavailable():
            await migrate(engine)
        with BcryptPasswords(settings.bcrypt_rounds) as passwords:
            return await execute(Administration(PostgresIdentityStore(engine, REFRESH_DAYS_UNUSED), passwords), options)
    finally:
        await engine.dispose()


async def execute(administration: Administration, options: argparse.Namespace) -> Mapping[str, Any]:
    """One command's answer."""
    name = options.name
    if options.command == "set-role":
        user = await administration.set_role(name, Role(options.role))
        return {"username": user.username, "role": user.role}
    if options.command == "create-key":
        return {"username": name, "api_key": await administration.create_key(name, options.label)}
    password = sys.stdin.readline().rstrip("\n") if options.password_stdin else new_password()
    if options.command == "reset-password":
        user = await administration.reset_password(name, password)
        return {"username": user.username, **shown(options, password)}
    answer: dict[str, Any] = {"username": name}
    try:
        user = await administration.create(name, password, Role(options.role))
        answer |= {"role": user.role, **shown(options, password)}
    except UsernameTaken:
        if not options.if_missing:
            raise
    return answer | ({"api_key": await administration.create_key(name, options.key)} if options.key else {})


def shown(options: argparse.Namespace, password: str) -> Mapping[str, str]:
    """The password, where it was made here."""
    return {} if options.password_stdin else {"password": password}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    outer = argparse.ArgumentParser(
        prog="python -m orchestrator.processes.accounts", description="Accounts of the platform of DATABASE_URL."
    )
    commands = outer.add_subparsers(dest="command", required=True)
    roles = [role.value for role in Role]
    create = commands.add_parser("create", help="make a user; prints the password")
    create.add_argument("name")
    create.add_argument("--role", choices=roles, default=Role.USER.value)
    create.add_argument("--key", metavar="LABEL", help="make an API key of that name, with every scope, and print it")
    create.add_argument("--if-missing", action="store_true", help="leave a user of that name as it is")
    set_role = commands.add_parser("set-role", help="change what a user may do")
    set_role.add_argument("name")
    set_role.add_argument("role", choices=roles)
    reset = commands.add_parser("reset-password", help="give a new password, print it, and end all sessions")
    reset.add_argument("name")
    for command in (create, reset):
        command.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    key = commands.add_parser("create-key", help="make an API key with every scope; prints it")
    key.add_argument("name")
    key.add_argument("label", metavar="LABEL")
    return outer


if __name__ == "__main__":
    sys.exit(main())
