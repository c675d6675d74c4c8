"""Removes the data of every local stack on this machine."""

import shutil
from contextlib import ExitStack
from pathlib import Path

from deploy.local.placement import folder_outside
from deploy.local.state import HOME, StateFolder
from deploy.local.supervision.leftovers import end_leftovers


async def remove_all(home: Path = HOME) -> None:
    """Removes the data of every stack, including data outside of the repository. Raises LaunchError if a stack is running."""
    stacks = stacks_in(home)
    with ExitStack() as locks:
        for stack in stacks:
            locks.enter_context(stack.locked({"doing": "clean"}))
        for stack in stacks:
            await end_leftovers(stack.path / "run")
            shutil.rmtree(folder_outside(stack.folder("postgres")), ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


def stacks_in(home: Path) -> list[StateFolder]:
    """Every stack that was ever started from this repository."""
    return [StateFolder(folder) for folder in (home, *home.glob("offset-*")) if (folder / "run").exists()]
