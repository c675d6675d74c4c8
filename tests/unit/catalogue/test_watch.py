"""Following a folder as it changes. BOUND is below the five seconds after which the folder is read in any case."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from textwrap import dedent

import pytest

from catalogue.catalogue import Catalogue
from catalogue.files.reader import read
from catalogue.files.settling import CONFIRM_SECONDS
from catalogue.watch import watch

Text = Callable[..., str]
Write = Callable[..., Path]
Next = Callable[[], "asyncio.Future[Catalogue]"]
BOUND = 4.0
LOSS_BOUND = BOUND + CONFIRM_SECONDS
"""For changes that remove agents, which a second reading confirms."""


class Follower:
    """Follows a folder as the agent host does."""

    def __init__(self, folder: Path, current: Catalogue) -> None:
        self.stop = asyncio.Event()
        self.passed: list[Catalogue] = []
        self._changes: asyncio.Queue[Catalogue] = asyncio.Queue()
        self.task = asyncio.create_task(self._follow(watch(folder, current, self.stop)))

    async def _follow(self, changes: AsyncIterator[Catalogue]) -> None:
        async for catalogue in changes:
            self._changes.put_nowait(catalogue)

    async def next(self, bound: float = BOUND) -> Catalogue:
        """The next catalogue. Raises TimeoutError if none arrives in time."""
        return await asyncio.wait_for(self._changes.get(), bound)

    async def until(self, condition: Callable[[Catalogue], bool], bound: float = BOUND) -> Catalogue:
        """The first catalogue that satisfies `condition`. The earlier ones are kept in `passed`."""
        async with asyncio.timeout(bound):
            while not condition(catalogue := await self._changes.get()):
                self.passed.append(catalogue)
            return catalogue

    def has_nothing_new(self) -> bool:
        """Whether no unexpected catalogue arrived."""
        return self._changes.empty()

    async def end(self) -> None:
        self.stop.set()
        done, _ = await asyncio.wait([self.task], timeout=BOUND)
        assert done
        if not self.task.cancelled():
            self.task.result()


Follow = Callable[[], Follower]


@pytest.fixture
async def follow(folder: Path) -> AsyncGenerator[Follow, None]:
    """Follows the folder, starting from its current content."""
    followers: list[Follower] = []

    def _follow() -> Follower:
        followers.append(Follower(folder, read(folder)))
        return followers[-1]

    yield _follow
    for follower in followers:
        await follower.end()


def numbers(catalogue: Catalogue) -> list[int]:
    return [agent.number for agent in catalogue.agents]


@pytest.mark.slow
async def test_every_kind_of_file_change_is_reported(write: Write, family: Text, follow: Follow) -> None:
    """Added, changed, invalid, corrected, removed."""
    follower = follow()
    path = write("marketing/a.yaml", family(1))
    assert numbers(await follower.until(lambda catalogue: len(catalogue) == 1)) == [1]
    write("marketing/a.yaml", family(1, 2))
    assert numbers(await follower.until(lambda catalogue: len(catalogue) == 2)) == [1, 2]
    write("marketing/a.yaml", "category: [")
    broken = await follower.until(lambda catalogue: bool(catalogue.problems))
    assert (numbers(broken), broken.problems[0].source) == ([1, 2], path)
    write("marketing/a.yaml", family(3))
    mended = await follower.until(lambda catalogue: numbers(catalogue) == [3], LOSS_BOUND)
    assert not mended.problems
    path.unlink()
    assert numbers(await follower.next(LOSS_BOUND)) == []


@pytest.mark.parametrize("change", ["prefix", "deleted"])
async def test_a_file_that_is_incomplete_for_a_while_loses_no_agent(write: Write, family: Text, follow: Follow, change: str) -> None:
    """A change of another file shows that the folder was read."""
    path = write("a.yaml", family(1, 2, 3))
    follower = follow()
    if change == "deleted":
        path.unlink()
    else:
        write("a.yaml", family(1))
    write("b.yaml", family(4, role="analyst"))
    assert numbers(await follower.until(lambda catalogue: len(catalogue) > 3)) == [1, 2, 3, 4]
    write("a.yaml", family(1, 2, 3, 5))
    assert numbers(await follower.until(lambda catalogue: 5 in numbers(catalogue))) == [1, 2, 3, 4, 5]
    assert all({1, 2, 3} <= set(numbers(catalogue)) for catalogue in follower.passed)


async def test_a_change_is_reported_promptly(write: Write, family: Text, follow: Follow) -> None:
    """The file system sends a notification, and the file is read once it is unchanged for 300 ms."""
    follower = follow()
    write("a.yaml", family(1))
    await follower.next()
    began = time.monotonic()
    write("a.yaml", family(1, 2))
    await follower.until(lambda catalogue: numbers(catalogue) == [1, 2])
    assert time.monotonic() - began < 2.0


async def test_a_file_replaced_by_a_rename_is_reported(folder: Path, write: Write, family: Text, follow: Follow) -> None:
    """Most editors save this way."""
    path = write("a.yaml", family(1))
    follower = follow()
    (folder / ".a.yaml.swp").write_text(family(1, 2))
    (folder / ".a.yaml.swp").rename(path)
    assert numbers(await follower.next()) == [1, 2]


@pytest.mark.slow
async def test_a_new_folder_is_followed(folder: Path, tmp_path: Path, family: Text, follow: Follow) -> None:
    """Also one that is moved in with its files, and moved away again."""
    follower = follow()
    (tmp_path / "made" / "deep").mkdir(parents=True)
    (tmp_path / "made" / "deep" / "a.yaml").write_text(family(1))
    (tmp_path / "made").rename(folder / "made")
    assert numbers(await follower.next()) == [1]
    (folder / "made" / "deep" / "b.yaml").write_text(family(2))
    assert numbers(await follower.until(lambda catalogue: len(catalogue) == 2)) == [1, 2]
    (folder / "made").rename(tmp_path / "gone")
    assert numbers(await follower.next(LOSS_BOUND)) == []


@pytest.mark.slow
async def test_a_kubernetes_mount_that_swaps_its_links_is_reported(folder: Path, family: Text, follow: Follow) -> None:
    """The files of a ConfigMap are links through `..data`, which is replaced by a rename."""

    def version(name: str, text: str) -> None:
        (folder / name).mkdir()
        (folder / name / "a.yaml").write_text(text)
        (folder / "..data_tmp").symlink_to(name)
        (folder / "..data_tmp").rename(folder / "..data")

    version("..2026_11_01", family(1))
    (folder / "a.yaml").symlink_to("..data/a.yaml")
    follower = follow()
    version("..2026_11_02", family(2))
    assert numbers(await follower.next(LOSS_BOUND)) == [2]
    assert follower.has_nothing_new()


async def test_a_change_before_the_watch_starts_is_reported(folder: Path, write: Write, family: Text) -> None:
    """Between the first reading and the watch, an agent host opens hundreds of ports."""
    current = read(folder)
    write("a.yaml", family(1))
    follower = Follower(folder, current)
    assert numbers(await follower.next()) == [1]
    await follower.end()


async def test_only_changes_of_definitions_are_reported(folder: Path, write: Write, family: Text, follow: Follow) -> None:
    """Not a touched file, a comment, or a note beside the definitions."""
    path = write("a.yaml", family(1))
    follower = follow()
    os.utime(path)
    write("notes.md", "nothing")
    write("a.yaml", "# a comment\n" + family(1))
    write("b.yaml", family(2))
    assert numbers(await follower.until(lambda catalogue: True)) == [1, 2]
    assert follower.has_nothing_new()


@pytest.mark.slow
async def test_a_folder_that_disappears_keeps_its_agents_until_it_returns(folder: Path, write: Write, family: Text, follow: Follow) -> None:
    """A volume that is remounted must not take agents out of service."""
    write("a.yaml", family(1))
    follower = follow()
    os.rename(folder, folder.with_name("away"))
    unreadable = await follower.until(lambda catalogue: bool(catalogue.problems))
    assert numbers(unreadable) == [1]
    assert "cannot be read: no such file or directory" in unreadable.problems[0].message
    write("a.yaml", family(1, 2))
    assert numbers(await follower.until(lambda catalogue: not catalogue.problems and len(catalogue) > 1)) == [1, 2]
    write("a.yaml", family(1, 2, 3))
    assert numbers(await follower.until(lambda catalogue: len(catalogue) > 2)) == [1, 2, 3]


async def test_polling_can_be_forced(write: Write, family: Text, follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    """With watchfiles' environment variable, for file systems that send no notifications."""
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "true")
    follower = follow()
    write("a.yaml", family(1))
    assert numbers(await follower.next()) == [1]


@pytest.mark.slow
def test_the_folder_is_polled_if_inotify_is_unavailable(tmp_path: Path, single: Text) -> None:
    """In a user namespace with no inotify instances, which is like a machine with too many watchers."""
    limit = "echo 0 > /proc/sys/user/max_inotify_instances"
    unshare = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    try:
        subprocess.run([*unshare, limit], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the kernel refused a user namespace with its own inotify limit: {error}")
    script = tmp_path / "follow.py"
    script.write_text(_SCRIPT)
    for number in (1, 2, 3):
        (tmp_path / f"{number}.txt").write_text(single(number))
    command = [*unshare, f'{limit} && exec "$0" "$@"', sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == "[1]\n[1, 2]\n[1, 2, 3]\n", done.stderr


_SCRIPT = dedent("""\
    import asyncio, ctypes, sys
    from pathlib import Path
    from catalogue.files.reader import read
    from catalogue.watch import watch

    async def main(folder):
        assert ctypes.CDLL(None).inotify_init() == -1, "the limit does not hold"
        changes = watch(folder, read(folder), asyncio.Event())
        # The first shows at the first look, the second when the missing inotify is noticed, the third by polling alone.
        for number in (1, 2, 3):
            (folder / f"{number}.txt").rename(folder / f"{number}.yaml")
            catalogue = await asyncio.wait_for(anext(changes), 4)
            print([agent.number for agent in catalogue.agents])
        await changes.aclose()

    asyncio.run(main(Path(sys.argv[1])))
""")


async def test_stop_ends_the_watch_within_a_second(follow: Follow) -> None:
    """Also while nothing changes."""
    follower = follow()
    await asyncio.sleep(0)
    follower.stop.set()
    await asyncio.wait_for(follower.task, 1.0)


async def test_cancelling_ends_the_watch_and_leaves_the_callers_event_unset(follow: Follow) -> None:
    """Others may share `stop`."""
    follower = follow()
    await asyncio.sleep(0)
    follower.task.cancel()
    done, _ = await asyncio.wait([follower.task], timeout=1.0)
    assert done
    assert follower.task.cancelled()
    assert not follower.stop.is_set()
