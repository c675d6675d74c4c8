"""The shipped rules with additional restrictions, and a real OPA server that has them too."""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
import pytest

from orchestrator.composition.settings import POLICY
from tests.adapters.policy.cases import RESTRICTIONS
from tests.support.ports import any_free_port
from tests.support.waiting import eventually


@pytest.fixture(scope="session")
def policy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    shutil.copy(POLICY / "agents.rego", folder)
    shipped = (POLICY / "access.yaml").read_text()
    (folder / "access.yaml").write_text(shipped[: shipped.index("  restricted:")] + RESTRICTIONS)
    return folder


@dataclass(frozen=True)
class OpaServer:
    url: str
    process: asyncio.subprocess.Process

    async def stop(self) -> None:
        """Suspend the process; the signal takes a moment to reach all threads."""
        self.process.send_signal(signal.SIGSTOP)

        async def stopped() -> bool:
            return psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED

        await eventually(stopped)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextlib.asynccontextmanager
async def running_opa(program: Path, folder: Path) -> AsyncIterator[OpaServer]:
    """OPA with the policy in a folder, once it is healthy."""
    port = any_free_port()
    command = ["run", "--server", "--addr", f"127.0.0.1:{port}", "--log-level", "error", "--skip-version-check", str(folder)]
    process = await asyncio.create_subprocess_exec(str(program), *command)
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as http:

            async def healthy() -> bool:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{url}/health") as answer:
                        return answer.status == 200
                return False

            await eventually(healthy, within=20)
        yield OpaServer(url, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture(scope="session")
async def opa_server(opa: Path, policy_folder: Path) -> AsyncIterator[OpaServer]:
    async with running_opa(opa, policy_folder) as server:
        yield server
