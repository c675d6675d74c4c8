import asyncio
from collections.abc import Sequence

from mesh.tasks import BackgroundTasks
from orchestrator.adapters.postgres.connection import Connection
from orchestrator.adapters.postgres.group_commit import GroupCommit


class Written:
    """Records the groups and their start times; writes nothing."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.began: list[float] = []

    async def __call__(self, connection: Connection, items: Sequence[int]) -> Sequence[int]:
        self.began.append(asyncio.get_running_loop().time())
        self.groups.append(list(items))
        return items


async def test_commits_keep_the_configured_interval_and_entries_in_between_form_one_group(database_url: str) -> None:
    written = Written()
    async with GroupCommit(database_url, written, BackgroundTasks(), lambda: 0.1) as lane:
        await lane.submit(0)  # the first commit opens the connection
        await lane.submit(1)
        assert await asyncio.gather(*map(lane.submit, range(2, 6))) == [2, 3, 4, 5]
    assert written.groups == [[0], [1], [2, 3, 4, 5]]
    assert written.began[2] - written.began[1] >= 0.095  # the connection is acquired in between


async def test_without_an_interval_no_entry_waits_for_others(database_url: str) -> None:
    written = Written()
    async with GroupCommit(database_url, written, BackgroundTasks(), lambda: 0.0) as lane:
        for item in range(3):
            assert await lane.submit(item) == item
    assert written.groups == [[0], [1], [2]]
