"""Only mesh/tasks.py creates tasks, so that none can end unnoticed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PRODUCT = ("mesh", "catalogue", "orchestrator", "agent_server", "gateway", "deploy", "protos")
CREATORS = {"create_task", "ensure_future", "run_coroutine_threadsafe"}


def created(source: str) -> Iterator[int]:
    """The lines that create a task. A task of an `asyncio.TaskGroup` cannot end unnoticed."""
    tree = ast.parse(source)
    groups = {
        ast.unparse(item.optional_vars)
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
        if item.optional_vars is not None and ast.unparse(item.context_expr).endswith("TaskGroup()")
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in CREATORS and ast.unparse(node.value) not in groups:
            yield node.lineno
        if isinstance(node, ast.ImportFrom) and CREATORS & {name.name for name in node.names}:
            yield node.lineno


@pytest.mark.parametrize(
    "source",
    ["asyncio.create_task(work())", "loop.create_task(work())", "asyncio.ensure_future(work())", "from asyncio import create_task"],
)
def test_every_way_to_create_a_task_is_found(source: str) -> None:
    assert list(created(source)) == [1]


def test_the_tasks_of_a_group_are_awaited_by_the_group() -> None:
    assert not list(created("async def f():\n    async with asyncio.TaskGroup() as group:\n        group.create_task(work())"))


def test_only_one_module_creates_tasks() -> None:
    files = [path for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")]
    sources = {path: text for path in files if any(name in (text := path.read_text()) for name in CREATORS)}
    found = [f"{path.relative_to(ROOT)}:{line}" for path, text in sources.items() for line in created(text)]
    assert {place.partition(":")[0] for place in found} == {"mesh/tasks.py"}, "use mesh.tasks: " + ", ".join(found)
