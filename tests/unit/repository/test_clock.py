"""The product reads the time in mesh/clock.py and nowhere else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PRODUCT = ("mesh", "catalogue", "orchestrator", "agent_server", "gateway", "deploy", "protos")
_NAMES = ("time", "monotonic", "perf_counter", "clock_gettime", "localtime", "gmtime")
OF_TIME = {name + unit for name in _NAMES for unit in ("", "_ns")}
_HINTS = re.compile(r"\btime\b|\bdatetime\b|\bdate\b")  # parsing every file would take seconds
OF_DATETIME = {"now", "utcnow", "today"}


def readings(source: str) -> Iterator[int]:
    """The lines that read a clock: of the modules time and datetime, or of an event loop."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "time" and OF_TIME & {name.name for name in node.names}:
            yield node.lineno
        if isinstance(node, ast.Attribute):
            of = ast.unparse(node.value)
            if (of == "time" and node.attr in OF_TIME) or (of.rpartition(".")[2] in ("datetime", "date") and node.attr in OF_DATETIME):
                yield node.lineno
            if node.attr == "time" and ("loop" in of or of == "asyncio"):
                yield node.lineno


@pytest.mark.parametrize(
    "source",
    [
        "import time\nbegan = time.monotonic()",
        "from time import perf_counter",
        "def of(clock=time.time): ...",
        "import datetime\nnow = datetime.datetime.now(datetime.UTC)",
        "today = date.today()",
        "ends = asyncio.get_running_loop().time() + 5",
        "loop.time()",
    ],
)
def test_every_way_to_read_a_clock_is_found(source: str) -> None:
    assert list(readings(source))


def test_only_one_module_reads_the_clock() -> None:
    # The client is a package of its own, without the mesh.
    files = [path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py") if "agentmesh_client" not in path.parts]
    assert len(files) > 300
    found = [f"{path.relative_to(ROOT)}:{line}" for path in files if _HINTS.search(text := path.read_text()) for line in readings(text)]
    assert found
    assert {place.partition(":")[0] for place in found} == {"mesh/clock.py"}, "use a mesh.clock.Clock: " + ", ".join(found)
