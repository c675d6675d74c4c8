"""A real pgbouncer from Debian's package, in front of the PostgreSQL of the tests."""

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


class PgbouncerUnavailable(LaunchError):
    """pgbouncer is not installed on this machine and cannot be installed."""


def pgbouncer() -> Path:
    """The path of the program. Installs it first if the tests run as root and the package is available. Otherwise raises an error."""
    if (found := shutil.which("pgbouncer", path=PATHS)) is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise PgbouncerUnavailable("pgbouncer is not installed; run the tests as root, or run apt-get install pgbouncer")
        known = subprocess.run(["apt-cache", "show", "pgbouncer"], capture_output=True, check=False)
        if known.returncode != 0:
            raise PgbouncerUnavailable("pgbouncer is not installed and apt-get does not find the package; run apt-get update")
        command = ["apt-get", "install", "--yes", "--no-install-recommends", "pgbouncer"]
        installed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        found = shutil.which("pgbouncer", path=PATHS)
        if found is None:
            raise LaunchError(f"{' '.join(command)} failed: {installed.stderr.strip()[-500:]}")
    return Path(found)


@asynccontextmanager
async def through_pgbouncer(program: Path, folder: Path, database_url: str, pool_mode: str) -> AsyncIterator[str]:
    """The URL of the same database through a pgbouncer in this pool mode, otherwise with its default settings."""
    url, port = make_url(database_url), any_free_port()
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n{url.database} = host={url.host} port={url.port} user={url.username} password={url.password}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {pool_mode}\n"
    )
    account = unprivileged_account() if os.geteuid() == 0 else None  # pgbouncer refuses to run as root
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
