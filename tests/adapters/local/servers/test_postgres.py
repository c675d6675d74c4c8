"""The embedded PostgreSQL: what it keeps, what it survives, and where its data is when the tests run as root."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from deploy.local import placement
from deploy.local.errors import LaunchError
from deploy.local.servers.postgres import PostgresServer
from deploy.local.supervision.waiting import holds_within
from tests.support.ports import any_free_port

MakeServer = Callable[[Path], PostgresServer]


@pytest.fixture
async def make_server() -> AsyncIterator[MakeServer]:
    """Creates servers for one test, and removes all their files afterwards."""
    servers: list[PostgresServer] = []

    def make(folder: Path) -> PostgresServer:
        servers.append(PostgresServer(folder, any_free_port()))
        return servers[-1]

    yield make
    for server in servers:
        await server.stop()
        server.erase()


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    folder.rmdir()


@pytest.fixture(scope="module")
async def shared_server(open_folder: Path) -> AsyncIterator[PostgresServer]:
    """A server with its data inside its folder."""
    server = PostgresServer(open_folder / "postgres", any_free_port())
    yield server
    await server.stop()
    server.erase()


@pytest.fixture
async def server(shared_server: PostgresServer) -> PostgresServer:
    """The shared server, running; a test may stop it in any way."""
    await shared_server.start()
    return shared_server


async def connect(server: PostgresServer, database: str = "postgres") -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(server.url(database).replace("+asyncpg", ""))


async def execute(server: PostgresServer, *statements: str) -> None:
    connection = await connect(server)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def value(server: PostgresServer, query: str) -> object:
    connection = await connect(server)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_data_survives_an_orderly_stop(server: PostgresServer) -> None:
    await execute(server, "CREATE TABLE orderly (text text)", "INSERT INTO orderly VALUES ('kept')")
    await server.stop()
    await server.start()
    assert await value(server, "SELECT text FROM orderly") == "kept"


async def test_data_survives_a_kill_during_a_statement(server: PostgresServer) -> None:
    """The killed server's sessions keep its shared memory for a moment, and its lock file remains."""
    await execute(server, "CREATE TABLE notes (text text)", "INSERT INTO notes VALUES ('kept')")
    busy = await connect(server)
    statement = asyncio.create_task(busy.execute("SELECT sum(i) FROM generate_series(1, 100000000) i"))
    started = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%generate_series%' AND state = 'active'"

    async def running() -> bool:
        return await value(server, started) == 2  # the statement, and the query that looks for it

    assert await holds_within(20, running)
    server.process.kill()
    await server.process.crashes.get()
    await server.start()
    assert await value(server, "SELECT text FROM notes") == "kept"
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await statement


async def test_a_lock_file_with_the_pid_of_another_program_is_ignored(server: PostgresServer) -> None:
    """After a reboot, or in a new container, the old server's process id may belong to any program."""
    lock_file = server.placement.data / "postmaster.pid"
    lines = lock_file.read_text().splitlines()
    await server.stop()
    account = server.placement.account
    other_program = await asyncio.create_subprocess_exec("/bin/sleep", "60", user=account.uid if account else None)
    lock_file.write_text("\n".join([str(other_program.pid), *lines[1:6], ""]))
    server.placement.own(lock_file)
    try:
        await server.start()
        assert await value(server, "SELECT 1") == 1
    finally:
        other_program.kill()
        await other_program.wait()


async def test_an_interrupted_first_start_does_not_block_the_next(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(tmp_path / "postgres")
    server.placement.install()
    draft = server.placement.data.with_name("data.draft")
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18\n")
    await server.start()
    assert not draft.exists()


async def test_only_loopback_connections_with_the_password_are_accepted(server: PostgresServer) -> None:
    listening = [one.laddr for one in psutil.Process(server.process.pid).net_connections("all") if one.status in ("LISTEN", "NONE")]
    assert [(*address,) for address in listening] == [("127.0.0.1", server.port)]
    assert (password := server.placement.folder / "password").stat().st_mode & 0o777 == 0o600
    assert len(password.read_text()) >= 24
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(host="127.0.0.1", port=server.port, user="agentmesh", password="guess", database="postgres")


async def test_the_server_is_configured_to_keep_what_it_confirmed(server: PostgresServer) -> None:
    settings = {name: await value(server, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums")}
    assert settings == dict.fromkeys(settings, "on")
    assert await value(server, "SHOW max_connections") == "200"
    assert await value(server, "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'postgres'") == "UTF8"


async def test_a_database_is_created_once_and_can_be_dropped_while_in_use(server: PostgresServer) -> None:
    url = await server.create_database("books")
    assert await server.create_database("books") == url
    user = await connect(server, "books")
    await server.drop_database("books")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await connect(server, "books")
    await user.close()


async def test_a_lost_password_is_reported_and_the_data_is_kept(server: PostgresServer) -> None:
    await server.stop()
    password = server.placement.folder / "password"
    password.rename(password.with_name("elsewhere"))
    with pytest.raises(LaunchError, match="the password of PostgreSQL's data is missing"):
        await server.start()
    password.with_name("elsewhere").rename(password)
    await server.start()


async def test_a_port_in_use_is_an_error_with_postgresqls_message(server: PostgresServer, tmp_path: Path) -> None:
    second = PostgresServer(tmp_path / "second", server.port)
    try:
        with pytest.raises(LaunchError, match="could not bind IPv4 address"):
            await second.start()
    finally:
        second.erase()


class TestAsRoot:
    """PostgreSQL refuses to run as root, and the account that it runs as instead cannot enter a 0700 home directory."""

    async def test_data_below_a_closed_folder_is_stored_outside(self, make_server: MakeServer, closed_folder: Path) -> None:
        server = make_server(closed_folder / "postgres")
        await server.start()
        assert server.placement.data.parent == placement.folder_outside(closed_folder / "postgres")
        assert server.placement.data.stat().st_mode & 0o777 == 0o700
        assert str(server.placement.outside) in (closed_folder / "postgres" / placement.NOTE).read_text()
        assert psutil.Process(server.process.pid).uids().real == server.placement.data.stat().st_uid != 0
        await server.stop()
        server.erase()
        assert not server.placement.outside.exists()

    async def test_programs_below_a_closed_folder_are_copied(
        self, make_server: MakeServer, closed_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wheel = placement.installation()
        copy = closed_folder / wheel.parent.name
        shutil.copytree(wheel, copy / wheel.name, ignore=shutil.ignore_patterns("include"))
        shutil.copytree(wheel.parent.with_name(f"{wheel.parent.name}.libs"), closed_folder / f"{wheel.parent.name}.libs")
        (copy / "__init__.py").touch()
        monkeypatch.syspath_prepend(closed_folder)
        server = make_server(closed_folder / "postgres")
        await server.start()
        assert server.placement.programs.is_relative_to(placement.OUTSIDE)
        assert await value(server, "SELECT 1") == 1

    async def test_data_outside_that_a_removed_state_folder_left_is_not_reused(self, make_server: MakeServer, closed_folder: Path) -> None:
        first = make_server(closed_folder / "postgres")
        await first.start()
        await execute(first, "CREATE TABLE notes (text text)")
        await first.stop()
        shutil.rmtree(closed_folder / "postgres")
        second = make_server(closed_folder / "postgres")
        await second.start()
        assert await value(second, "SELECT to_regclass('notes')") is None

    def test_a_folder_outside_that_another_user_owns_is_refused(self, closed_folder: Path) -> None:
        foreign_folder = placement.folder_outside(closed_folder)
        foreign_folder.mkdir()
        os.chown(foreign_folder, 65534, 65534)
        try:
            with pytest.raises(LaunchError, match="belongs to another user or others may write to it"):
                placement.make_private_folder(foreign_folder)
        finally:
            foreign_folder.rmdir()

    def test_data_that_can_no_longer_be_reached_is_reported(self, closed_folder: Path) -> None:
        """It was created while the parent folders were open; an empty database in its place would look like a loss of data."""
        (closed_folder / "postgres" / "data").mkdir(parents=True)
        with pytest.raises(LaunchError, match=r"which its user .* can no longer reach"):
            PostgresServer(closed_folder / "postgres", any_free_port())
