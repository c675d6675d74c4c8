"""Clients that third-party generators create from gen/openapi.json compile, and make one call of each kind."""

import asyncio
import json
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.local.errors import LaunchError
from deploy.local.tools import client_tools
from deploy.local.tools.client_tools import MissingToolchain, require
from gateway.envoy.render import GENERATED
from tests.e2e.definitions import AGENT
from tests.e2e.platform import Platform

OPENAPI = str(GENERATED / "openapi.json")
PROGRAMS = Path(__file__).with_name("programs")
SECONDS = 400
DAY_SECONDS = 86_400
Build = Callable[[Path], Awaitable[list[str]]]


async def run(*command: str, cwd: Path) -> str:
    """The output of the command; if the command fails, so does the test, with that output."""
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    assert process.returncode == 0, f"{' '.join(command)}\n{(out + err).decode()[-3000:]}"
    return out.decode()


async def python(folder: Path) -> list[str]:
    interpreter = str(client_tools.openapi_python_client())
    made = await run(
        *(interpreter, "-m", "openapi_python_client", "generate", "--path", OPENAPI, "--output-path", "generated", "--meta", "none"),
        cwd=folder,
    )
    assert "cannot" not in made.lower(), made  # it omits what it does not understand, with a warning
    assert "skipped" not in made.lower(), made
    shutil.copy(PROGRAMS / "calls.py", folder)
    return [interpreter, "calls.py"]


async def typescript(folder: Path) -> list[str]:
    modules = client_tools.openapi_typescript() / "node_modules"
    (folder / "node_modules").symlink_to(modules)
    (folder / "package.json").write_text('{"type": "module"}')
    shutil.copy(PROGRAMS / "calls.ts", folder)
    await run(str(modules / ".bin" / "openapi-typescript"), OPENAPI, "--output", "api.ts", cwd=folder)
    options = ("--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck", "--types", "node")
    await run(str(modules / ".bin" / "tsc"), *options, "calls.ts", cwd=folder)
    return ["node", "calls.js"]


async def go(folder: Path) -> list[str]:
    require("go")
    await generate(
        "go", folder, "--git-host", "example.com", "--git-user-id", "", "--git-repo-id", "agentmesh", options="packageName=agentmesh"
    )
    (folder / "go.mod").write_text("module example.com/agentmesh\n\ngo 1.21\n")
    shutil.rmtree(folder / "test", ignore_errors=True)
    (folder / "calls").mkdir()
    shutil.copy(PROGRAMS / "calls.go", folder / "calls")
    await run("go", "mod", "tidy", cwd=folder)
    await run("go", "build", "-o", "program", "./calls", cwd=folder)
    return ["./program"]


async def java(folder: Path) -> list[str]:
    require("javac")
    await generate("java", folder, "--library", "okhttp-gson", options="openApiNullable=false")
    classpath = ("dependency:build-classpath", "-Dmdep.outputFile=classpath.txt")
    await run("mvn", "--quiet", "--batch-mode", "-Dmaven.test.skip=true", "compile", *classpath, cwd=folder)
    path = os.pathsep.join([str(folder / "target" / "classes"), (folder / "classpath.txt").read_text().strip()])
    await run("javac", "-cp", path, "-d", "calls", str(PROGRAMS / "Calls.java"), cwd=folder)
    return ["java", "-cp", os.pathsep.join([path, str(folder / "calls")]), "Calls"]


async def generate(language: str, folder: Path, *arguments: str, options: str) -> None:
    """Runs openapi-generator."""
    jar = str(client_tools.openapi_generator())
    parts = ("--global-property", "apiTests=false,modelTests=false,apiDocs=false,modelDocs=false")
    what = ("generate", "-g", language, "-i", OPENAPI, "-o", str(folder))
    await run("java", "-jar", jar, *what, *parts, *arguments, "--additional-properties", options, cwd=folder)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("build", [python, typescript, go, java], ids=["python", "typescript", "go", "java"])
async def test_a_generated_client_makes_one_call_of_each_kind(platform: Platform, tmp_path: Path, build: Build) -> None:
    try:
        program = await build(tmp_path)
    except MissingToolchain as problem:
        pytest.skip(str(problem))
    except LaunchError as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(problem))
    printed: dict[str, Any] = json.loads(
        await run(*program, platform.stack.gateway_url, platform.stack.credentials.token, AGENT, cwd=tmp_path)
    )
    assert printed == {"agents": 1, "answered": True, "timeout": DAY_SECONDS, "streamed": True, "missing": 404}
