"""The web console in a real Chromium against the whole platform: every specification in gateway/console/e2e."""

import asyncio
import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deploy.local.console.build import SOURCES, built
from deploy.local.console.publish import publish
from deploy.local.tools.browser_tools import NoBrowser, chromium
from deploy.local.tools.node_tools import install_packages, node, node_environment
from tests.e2e.console.static_site import static_site
from tests.e2e.platform import Platform
from tests.support.ports import any_free_port

PLAYWRIGHT = "@playwright/test/cli.js"
RESULTS = SOURCES / "test-results" / "results.json"
SECONDS = 600


async def play(environment: Mapping[str, str]) -> tuple[int, str]:
    """Runs Playwright; returns its exit code and output."""
    modules = await asyncio.to_thread(install_packages, SOURCES)
    only = os.environ.get("E2E", "").split()  # such as E2E='delivery --headed'
    process = await asyncio.create_subprocess_exec(
        *(str(node()), str(modules / PLAYWRIGHT), "test", *only),
        cwd=SOURCES,
        env={**node_environment(), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace")


def outcomes(report: Mapping[str, Any]) -> Mapping[str, int]:
    """How many tests passed, failed and were skipped."""
    stats = report["stats"]
    return {"passed": stats["expected"], "failed": stats["unexpected"] + stats["flaky"], "skipped": stats["skipped"]}


@pytest.mark.timeout(SECONDS)
async def test_people_use_the_console_in_a_browser(platform: Platform, other_origin: str) -> None:
    """`other_origin` is an origin that the gateway allows."""
    try:
        browser = await asyncio.to_thread(chromium)
    except NoBrowser as problem:
        if "CI" in os.environ:
            raise
        pytest.skip(str(problem))
    stack = platform.stack
    publish(await asyncio.to_thread(built, {}), stack.console_folder)
    elsewhere = await asyncio.to_thread(built, {"VITE_API_URL": stack.gateway_url})
    with contextlib.ExitStack() as sites:
        allowed = sites.enter_context(static_site(elsewhere, int(other_origin.rpartition(":")[2])))
        forbidden = sites.enter_context(static_site(elsewhere, any_free_port()))
        assert allowed == other_origin
        code, output = await play(
            {
                "BASE_URL": stack.gateway_url,
                "CHROMIUM": str(browser),
                "OTHER_ORIGIN": allowed,
                "FORBIDDEN_ORIGIN": forbidden,
                "SIMULATOR_URL": stack.simulator_url,
                "ADMIN_TOKEN": stack.credentials.token,
                "ADMIN_PASSWORD": stack.first_login.password if stack.first_login else "",
            }
        )
    assert code == 0, output
    counted = outcomes(json.loads(await asyncio.to_thread(Path.read_text, RESULTS)))
    assert counted["passed"] > 0
    assert (counted["failed"], counted["skipped"]) == (0, 0), output
