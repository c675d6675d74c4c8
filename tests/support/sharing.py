"""How the processes of `pytest -n 2` share the tests."""

from pathlib import PurePosixPath

from xdist.scheduler import LoadFileScheduling

TOGETHER = ("tests/chaos", "tests/e2e", "tests/rpc/orchestrator", "tests/adapters/agent_host")
"""The tests of each of these folders run in one process: they share servers that take long to start or, in chaos/, load the whole
machine, so that two of them at once would disturb each other."""
ORDER = (*TOGETHER, "tests/contract", "tests/adapters", "tests/rpc", "tests/unit")
"""The longest folders start first, so that the processes finish at about the same time."""


class Sharing(LoadFileScheduling):  # type: ignore[misc] # xdist has no types
    """A free process gets the next file, or the next folder of TOGETHER."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((folder for folder in TOGETHER if PurePosixPath(file).is_relative_to(folder)), file)


def rank(nodeid: str) -> int:
    """The position of a test's folder in ORDER."""
    file = PurePosixPath(nodeid.split("::", 1)[0])
    return next((place for place, folder in enumerate(ORDER) if file.is_relative_to(folder)), len(ORDER))
