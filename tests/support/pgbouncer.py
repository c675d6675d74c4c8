"""A real pgbouncer, as Debian packages it, before the PostgreSQL of the tests."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import make_url

from deploy.local.errors import LaunchError
from deploy.local.placement import unprivileged_account
from deploy.local.ports import is_free
from deploy.local.supervision.waiting import holds_within
from tests.support.ports import any_free_port

PATHS = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


class NoPgbouncer(LaunchError):
    """This machine has no pgbouncer and cannot install it."""


def pgbouncer() -> Path:
    """The program; installed first where we are root and Debian's packages can be reached. Raises NoPgbouncer otherwise."""
    if (found := shutil.which("pgbouncer", path=PATHS)) is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise NoPgbouncer("pgbouncer is not installed, and only root can install it with apt-get")
        known = subprocess.run(["apt-cache", "show", "pgbouncer"], capture_output=True, check=False)
        if known.returncode != 0:
            raise NoPgbouncer("pgbouncer is not installed, and apt-get knows no such package; run apt-get update")
        command = ["apt-get", "install", "--yes", "--no-install-recommends", "pgbouncer"]
        installed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        found = shutil.which("pgbouncer", path=PATHS)
        if found is None:
            raise LaunchError(f"{' '.join(command)} failed: {installed.stderr.strip()[-500:]}")
    return Path(found)


@asynccontextmanager
async def pooled(program: Path, folder: Path, database_url: str, pool_mode: str) -> AsyncIterator[str]:
    """The URL of the same database through a pgbouncer with its default settings in this mode."""
    url, port = make_url(database_url), any_free_port()
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n{url.database} = host={url.host} port={url.port} user={url.username} password={url.password}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {pool_mode}\n"
    )
    account = unprivileged_account() if os.geteuid() == 0 else None  # it refuses to run as root
    with (folder / "log").open("wb") as log, configuration.open("rb") as settings:
        process = await asyncio.create_subprocess_exec(
            *(program, "/dev/stdin"),
            stdin=settings,
            stdout=log,
            stderr=log,
            cwd="/",
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    try:

        async def listens() -> bool:
            return process.returncode is not None or not is_free(port)

        assert await holds_within(20, listens)
        assert process.returncode is None, (folder / "log").read_text()
        yield url.set(port=port).render_as_string(hide_password=False)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
