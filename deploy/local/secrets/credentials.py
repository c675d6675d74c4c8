"""The secrets of the stack, created at its first start in files that only the owner can read.

jwt_secret   signs access tokens
token        an API key of the first administrator, for `authorization: Bearer`
"""

import asyncio
import json
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.errors import LaunchError
from deploy.local.secrets.secret_files import write_private
from deploy.local.state import REPOSITORY

ADMINISTRATOR = "admin"
KEY_LABEL = "make up"


@dataclass(frozen=True)
class FirstLogin:
    """The user name and password of the first administrator, shown once."""

    username: str
    password: str = field(repr=False)


class Credentials:
    """The secrets in one stack's state folder."""

    def __init__(self, folder: Path) -> None:
        self._secret = folder / "jwt_secret"
        self.token_file = folder / "token"

    def jwt_secret(self) -> str:
        """The secret that signs access tokens."""
        if not self._secret.exists():
            write_private(self._secret, secrets.token_urlsafe(48) + "\n")
        return self._secret.read_text().strip()

    @property
    def token(self) -> str:
        """The first administrator's API key. Exists after the stack was started for the first time."""
        return self.token_file.read_text().strip()

    async def prepare(self, environment: Mapping[str, str]) -> FirstLogin | None:
        """Creates the first administrator and an API key, unless that has been done; returns the login of a new one.

        `environment` is that of the command `orchestrator.processes.accounts`. Raises LaunchError if it fails.
        """
        if self.token_file.exists():
            return None
        command = ["create", ADMINISTRATOR, "--role", "admin", "--key", KEY_LABEL, "--if-missing"]
        made = await _accounts(command, environment)
        write_private(self.token_file, made["api_key"] + "\n")
        return FirstLogin(made["username"], made["password"]) if "password" in made else None


async def _accounts(arguments: list[str], environment: Mapping[str, str]) -> dict[str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orchestrator.processes.accounts", *arguments),
        cwd=REPOSITORY,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        answer, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise LaunchError(f"cannot create the first administrator: {complaint.decode(errors='replace').strip()[-500:]}")
    made: dict[str, str] = json.loads(answer)
    return made
