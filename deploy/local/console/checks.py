"""Checks the web console without a browser: `python -m deploy.local.console.checks`.

Types, the tests of its components, and the size of the scripts that a browser loads first.
"""

import subprocess
import sys
from collections.abc import Mapping

from deploy.local.console.build import SOURCES, built
from deploy.local.errors import LaunchError
from deploy.local.tools.node_tools import install_packages, node, node_environment

TYPES = ("typescript/bin/tsc", "--noEmit")
TESTS = ("vitest/vitest.mjs", "run")
SIZE = ("size-limit/bin.js",)


def main() -> int:
    """Runs every check; returns the exit code of the first that fails."""
    try:
        modules = install_packages(SOURCES)
        build = built({})
    except LaunchError as error:
        print(f"agentmesh: {error}", file=sys.stderr, flush=True)
        return 1
    environment: Mapping[str, str] = {**node_environment(), "DIST": str(build)}
    for program, *arguments in (TYPES, TESTS, SIZE):
        command = [str(node()), str(modules / program), *arguments]
        code = subprocess.run(command, cwd=SOURCES, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
        if code != 0:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
