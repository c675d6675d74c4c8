"""The web console of the local stack: built once, published for the gateway, and never a reason for the platform to stop."""

import asyncio
import gzip
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from deploy.local.console.background import ConsoleBuilder
from deploy.local.console.build import SOURCES, built, digest_of
from deploy.local.console.publish import announce, is_published, publish
from deploy.local.errors import LaunchError
from deploy.local.supervision.waiting import holds_within
from gateway.envoy.console import CONTENT_TYPES, NONCE_PLACEHOLDER


@pytest.fixture(scope="module")
def build() -> Path:
    """The build of this repository's console."""
    return built({})


@pytest.fixture
def sources(build: Path, tmp_path: Path) -> Path:
    """A copy of the console's sources, with the packages that are installed already."""
    folder = tmp_path / "gateway" / "console"
    shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(SOURCES / "node_modules")
    shutil.copytree(SOURCES.parents[1] / "gen" / "ts", tmp_path / "gen" / "ts")
    return folder


def documents_assets(folder: Path) -> set[str]:
    return set(re.findall(r'(?:src|href)="/assets/([^"]+)"', (folder / "index.html").read_text()))


@pytest.mark.timeout(600)  # the first test installs the packages
def test_a_build_has_the_layout_that_the_gateway_serves(build: Path) -> None:
    document = (build / "index.html").read_text()
    assert f'<meta property="csp-nonce" nonce="{NONCE_PLACEHOLDER}">' in document
    assert "://" not in document  # no asset of another host
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", document)  # nothing that the policy forbids
    names = {path.name for path in (build / "identity" / "assets").iterdir()}
    assert documents_assets(build) <= names
    assert {name.rpartition(".")[2] for name in names} <= set(CONTENT_TYPES)
    assert all(re.fullmatch(r"[\w.-]+-[\w-]{8}\.\w+", name) for name in names), names  # a hash of the content in every name
    for encoding in ("gzip", "br"):
        assert {path.name for path in (build / encoding / "assets").iterdir()} == names
    for name in names:
        assert gzip.decompress((build / "gzip" / "assets" / name).read_bytes()) == (build / "identity" / "assets" / name).read_bytes()


def test_the_same_sources_are_built_once(build: Path) -> None:
    before = (build / "index.html").stat().st_mtime_ns
    assert built(os.environ) == built({"PATH": "/nowhere"}) == build
    assert (build / "index.html").stat().st_mtime_ns == before


def test_another_source_or_setting_is_another_build(sources: Path) -> None:
    before = {digest_of({}, sources), digest_of({"VITE_API_URL": "http://localhost:1"}, sources)}
    (sources / "src" / "some.test.ts").write_text("// a test")
    assert digest_of({}, sources) in before
    (sources / "src" / "main.tsx").write_text((sources / "src" / "main.tsx").read_text() + "\n")
    assert len(before | {digest_of({}, sources)}) == 3


@pytest.mark.timeout(300)
def test_a_console_for_another_origin_knows_the_address_of_the_platform(build: Path, tmp_path: Path) -> None:
    other = built({"VITE_API_URL": "https://mesh.example.com"}, tmp_path / "builds")
    scripts = [path.read_text() for path in (other / "identity" / "assets").glob("*.js")]
    assert any("https://mesh.example.com" in script for script in scripts)


@pytest.mark.timeout(300)
def test_sources_that_do_not_compile_are_refused_with_the_reason(sources: Path, tmp_path: Path) -> None:
    (sources / "src" / "main.tsx").write_text('import "./no-such-module";\n')
    with pytest.raises(LaunchError, match="no-such-module"):
        built({}, tmp_path / "builds", sources)
    assert not [path for path in (tmp_path / "builds").iterdir() if (path / "index.html").exists()]


def made_up(folder: Path, asset: str) -> Path:
    for encoding in ("identity", "gzip", "br"):
        (folder / encoding / "assets").mkdir(parents=True)
        (folder / encoding / "assets" / asset).write_text(encoding)
    (folder / "index.html").write_text(asset)
    return folder


def test_publishing_keeps_the_assets_of_pages_that_are_still_open(tmp_path: Path) -> None:
    served = tmp_path / "served"
    announce("being <built>", served)
    assert "being &lt;built&gt;" in (served / "index.html").read_text()
    assert not is_published(served)
    publish(made_up(tmp_path / "first", "a.js"), served)
    assert is_published(served)
    publish(made_up(tmp_path / "second", "b.js"), served)
    assert (served / "index.html").read_text() == "b.js"
    assert {path.name for path in (served / "br" / "assets").iterdir()} == {"a.js", "b.js"}
    yesterday = time.time() - 25 * 3600
    for encoding in ("identity", "gzip", "br"):
        for name in ("a.js", "b.js"):
            os.utime(served / encoding / "assets" / name, (yesterday, yesterday))
    publish(tmp_path / "second", served)  # it is in use again
    assert {str(path.relative_to(served)) for path in served.rglob("*") if path.is_file()} == {
        "index.html",
        "identity/assets/b.js",
        "gzip/assets/b.js",
        "br/assets/b.js",
    }
    assert not [path for path in served.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes a program that stands in for the one that builds, and returns the name of its module."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(text: str) -> str:
        (tmp_path / "stand_in_build.py").write_text(text)
        return "stand_in_build"

    return write


async def test_a_build_that_fails_is_reported_with_its_reason(stand_in: Callable[[str], str], tmp_path: Path) -> None:
    program = stand_in('import sys\nsys.exit("agentmesh: main.tsx failed: no semicolon")\n')
    reports: list[str] = []
    served, log = tmp_path / "served", tmp_path / "console.log"
    builder = ConsoleBuilder(served, log, {}, reports.append, program)
    builder.announce()
    assert "is being built" in (served / "index.html").read_text()
    await builder.build("http://localhost:8000")
    assert len(reports) == 1
    assert "could not be built; everything else works" in reports[0]
    assert "no semicolon" in reports[0]
    assert "no semicolon" in log.read_text()
    assert "could not be built" in (served / "index.html").read_text()


async def test_a_build_that_fails_leaves_the_last_console_published(stand_in: Callable[[str], str], tmp_path: Path) -> None:
    program = stand_in('import sys\nsys.exit("agentmesh: no")\n')
    publish(made_up(tmp_path / "first", "a.js"), tmp_path / "served")
    builder = ConsoleBuilder(tmp_path / "served", tmp_path / "console.log", {}, lambda _: None, program)
    builder.announce()
    await builder.build("http://localhost:8000")
    assert (tmp_path / "served" / "index.html").read_text() == "a.js"


async def test_stopping_the_platform_ends_the_build_and_what_it_started(stand_in: Callable[[str], str], tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = stand_in(
        "import signal, subprocess, sys\n"
        "from deploy.local.console.__main__ import end_session\n"
        "signal.signal(signal.SIGTERM, end_session)\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        f"open({str(pid)!r}, 'w').write(str(child.pid))\n"
        "child.wait()\n"
    )
    builder = ConsoleBuilder(tmp_path / "served", tmp_path / "console.log", {}, lambda _: None, program)
    building = asyncio.create_task(builder.build("http://localhost:8000"))

    async def started() -> bool:
        return pid.exists() and pid.read_text() != ""

    async def ended() -> bool:
        return not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE

    assert await holds_within(30, started)
    child = int(pid.read_text())
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert await holds_within(10, ended)
