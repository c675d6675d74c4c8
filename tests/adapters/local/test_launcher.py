"""`make up` as its user sees it: the real command, the real programs, the screen."""

import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.local.clean import remove_all
from deploy.local.placement import folder_outside
from deploy.local.ports import LocalPorts, is_free
from deploy.local.state import StateFolder
from deploy.local.supervision.leftovers import still_running
from deploy.local.supervision.probe import http_status
from deploy.local.supervision.waiting import holds_within
from tests.support.ports import free_port_offset

UP_SECONDS = 90
BUILD_SECONDS = 400
"""How long the web console takes at most, with the packages that it is built from."""


class Launcher:
    """A running `python -m deploy.local up`, and its output so far."""

    def __init__(self, process: asyncio.subprocess.Process, offset: int) -> None:
        self.process = process
        self.ports = LocalPorts.at(offset)
        self.state = StateFolder.of_offset(offset)
        self.screen = ""

    async def shows(self, text: str, seconds: float = UP_SECONDS) -> str:
        """Wait until the output has a line that contains `text`; returns that line."""
        assert self.process.stdout is not None
        async with asyncio.timeout(seconds):
            while line := (await self.process.stdout.readline()).decode():
                self.screen += line
                if text in line:
                    return line
        pytest.fail(f"the launcher exited without printing {text!r}:\n{self.screen}")

    async def end(self) -> str:
        """Wait for its exit; returns the whole output."""
        rest, _ = await asyncio.wait_for(self.process.communicate(), UP_SECONDS)
        self.screen += rest.decode()
        return self.screen

    def programs(self) -> list[psutil.Process]:
        """The programs that it runs now."""
        return [psutil.Process(pid) for note in (self.state.path / "run").glob("*.pid") if (pid := still_running(note))]

    async def leaves_nothing(self) -> bool:
        """Whether all its programs have exited and every port is free."""
        return not self.programs() and all(map(is_free, self.ports.every))


@asynccontextmanager
async def up(offset: int, *options: str, program: Sequence[str] = ("-m", "deploy.local")) -> AsyncIterator[Launcher]:
    command = [sys.executable, *program, "up", "--port-offset", str(offset), *options]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    launcher = Launcher(process, offset)
    try:
        yield launcher
    finally:
        if process.returncode is None:
            process.terminate()
            await launcher.end()


@pytest.fixture
async def offset() -> AsyncIterator[int]:
    """A port offset for a stack; its folder is empty before and after."""
    with free_port_offset() as offset:
        yield offset
        await remove_all(StateFolder.of_offset(offset).path)


async def output_of(command: str) -> str:
    """The output of a command on the start screen, run exactly as printed."""
    shell = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(shell.communicate(), 30)
    return output.decode()


@pytest.mark.timeout(BUILD_SECONDS + 2 * UP_SECONDS)
async def test_the_start_screen_lists_what_runs_and_its_commands_work(offset: int) -> None:
    """Up to the start screen, its curl commands run as printed, the console, a second launcher, a killed program, Ctrl-C."""
    async with up(offset) as launcher:
        await launcher.shows("Ctrl-C stops everything")
        assert re.search(r"AgentMesh is up after [\d.]+ s: [1-9]\d* agents on [1-9]\d* ports, 1 agent host\.", launcher.screen)
        assert f"http://localhost:{launcher.ports.gateway}" in launcher.screen
        assert "local simulator" in launcher.screen
        assert re.search(r"first administrator is `admin`, with the password \S{20,} \(shown this once\)", launcher.screen)
        search, execute, stream = re.findall(r"^  (curl .*)$", launcher.screen, flags=re.MULTILINE)
        assert '"agent_id":' in await output_of(search)
        assert '"provider":"simulator"' in await output_of(execute)
        assert "\ndata: " in await output_of(stream)

        await launcher.shows("the web console is ready: http://localhost:", BUILD_SECONDS)
        await shows_the_console(launcher.ports.gateway)

        assert_private(launcher.state.path)
        await says_that_it_runs(launcher, offset)
        await comes_back(launcher, "orchestrator")

        launcher.process.send_signal(signal.SIGINT)
        assert "everything has stopped" in await launcher.end()
        assert launcher.process.returncode == 0
        assert await launcher.leaves_nothing()


async def shows_the_console(port: int) -> None:
    """A browser gets the document and the script that it names."""
    async with httpx.AsyncClient(base_url=f"http://localhost:{port}") as http:
        document = (await http.get("/", headers={"accept": "text/html"})).text
        script = re.search(r'src="(/assets/[^"]+[.]js)"', document)
        assert script
        assert (await http.get(script[1])).headers["content-type"] == "text/javascript; charset=utf-8"


def assert_private(folder: Path) -> None:
    """No file of the stack can be read by another user of the machine, wherever it is."""
    written = [path for root in (folder, folder_outside(folder / "postgres") / "data") for path in root.rglob("*")]
    assert any(path.name == "orchestrator.log" for path in written)
    assert any(path.name == "PG_VERSION" for path in written)
    assert [path for path in written if path.is_file() and path.stat().st_mode & 0o077] == []
    assert [path for path in (folder, folder / "logs", folder / "run") if path.stat().st_mode & 0o066] == []


async def says_that_it_runs(launcher: Launcher, offset: int) -> None:
    """A second launcher with the same offset names the first and exits."""
    async with up(offset) as second:
        refusal = await second.end()
    assert second.process.returncode == 1
    assert refusal.startswith("agentmesh: a stack already runs from")
    assert f"pid {launcher.process.pid}" in refusal
    assert len(refusal.splitlines()) == 1


async def comes_back(launcher: Launcher, module: str) -> None:
    """A killed program is named on the screen and restarted."""
    next(one for one in launcher.programs() if f"orchestrator.processes.{module}" in one.cmdline()).kill()
    await launcher.shows(f"{module} was ended by SIGKILL; restarting it in 0.5 s")
    await launcher.shows(f"{module} is ready again")

    async def gateway_answers() -> bool:
        return await http_status(launcher.ports.gateway, "/ready") == 200

    assert await holds_within(30, gateway_answers)


async def test_a_killed_launcher_leaves_nothing_and_the_next_one_starts_at_once(offset: int) -> None:
    """The next launcher finds the programs of the first still stopping: it waits for them, and then uses their ports.

    Meanwhile another program takes one port, which disables the agents on this port and no others.
    """
    async with up(offset) as launcher:
        await launcher.shows("Ctrl-C stops everything")
        assert len(launcher.programs()) == 7
        launcher.process.kill()
        await launcher.process.wait()
        port = launcher.ports.agents[11]
        assert await holds_within(30, partial(is_free_now, port))
        with socket.create_server(("127.0.0.1", port)):
            async with up(offset, "--shards", "2") as second:
                line = await second.shows("not served")
                assert f"port {port}: another program listens on the port" in line
                assert re.search(r"(1 agent is|\d agents are) not served: (\S+, )*marketing_content_strategist_agent_1_11\b", line)
                assert "2 agent hosts" in second.screen
                await second.shows("Ctrl-C stops everything")
                second.process.kill()
                await second.process.wait()
        assert await holds_within(30, second.leaves_nothing)


async def is_free_now(port: int) -> bool:
    return is_free(port)


async def test_a_main_port_in_use_is_reported_on_one_line_and_nothing_starts(offset: int) -> None:
    gateway = LocalPorts.at(offset).gateway
    with socket.create_server(("127.0.0.1", gateway)):
        async with up(offset) as launcher:
            screen = await launcher.end()
    assert launcher.process.returncode == 1
    assert screen.startswith(f"agentmesh: port {gateway} (gateway) is in use by ")
    assert len(screen.splitlines()) == 1
    assert not list((launcher.state.path / "logs").iterdir())


async def test_ctrl_c_during_the_start_stops_what_has_been_started(offset: int) -> None:
    async with up(offset) as launcher:
        await launcher.shows("is ready")
        launcher.process.send_signal(signal.SIGINT)
        assert "everything has stopped" in await launcher.end()
        assert launcher.process.returncode == 0
        assert await launcher.leaves_nothing()


async def test_a_launcher_that_no_longer_watches_a_program_stops_everything_and_says_why(offset: int) -> None:
    async with up(offset, program=[str(Path(__file__).with_name("broken_watcher.py"))]) as launcher:
        screen = await launcher.end()
    assert "agentmesh: stopped because the watcher of envoy ended unexpectedly (RuntimeError('the watcher broke'))" in screen
    assert launcher.process.returncode == 1
    assert await launcher.leaves_nothing()
