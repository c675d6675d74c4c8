"""Following a folder as it changes. BOUND is below the five seconds after which the folder is read anyway."""

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
"""For changes that remove agents, which are confirmed by a second look."""


class Follower:
    """Someone who follows a folder, as the agent host does."""

    def __init__(self, folder: Path, current: Catalogue) -> None:
        self.stop = asyncio.Event()
        self.passed: list[Catalogue] = []
        self._changes: asyncio.Queue[Catalogue] = asyncio.Queue()
        self.task = asyncio.create_task(self._follow(watch(folder, current, self.stop)))

    async def _follow(self, changes: AsyncIterator[Catalogue]) -> None:
        async for catalogue in changes:
            self._changes.put_nowait(catalogue)

    async def next(self, bound: float = BOUND) -> Catalogue:
        """The next catalogue, if it comes in time."""
        return await asyncio.wait_for(self._changes.get(), bound)

    async def until(self, condition: Callable[[Catalogue], bool], bound: float = BOUND) -> Catalogue:
        """The first catalogue that satisfies `condition`. Those before it are kept in `passed`."""
        async with asyncio.timeout(bound):
            while not condition(catalogue := await self._changes.get()):
                self.passed.append(catalogue)
            return catalogue

    def is_quiet(self) -> bool:
        """Whether nothing came that nobody asked for."""
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
    """Follows the folder from what it holds now on."""
    followers: list[Follower] = []

    def _follow() -> Follower:
        followers.append(Follower(folder, read(folder)))
        return followers[-1]

    yield _follow
    for follower in followers:
        await follower.end()


def numbers(catalogue: Catalogue) -> list[int]:
    return [agent.number for agent in catalogue.agents]


async def test_each_change_of_a_file_shows(write: Write, family: Text, follow: Follow) -> None:
    """Added, changed, broken, mended, removed."""
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
    """Another file tells when the folder has been read."""
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


async def test_a_change_shows_promptly(write: Write, family: Text, follow: Follow) -> None:
    """The file system sends a notification, and the file is read once it has not changed for 300 ms."""
    follower = follow()
    write("a.yaml", family(1))
    await follower.next()
    began = time.monotonic()
    write("a.yaml", family(1, 2))
    await follower.until(lambda catalogue: numbers(catalogue) == [1, 2])
    assert time.monotonic() - began < 2.0


async def test_an_editor_that_renames_over_the_file_is_seen(folder: Path, write: Write, family: Text, follow: Follow) -> None:
    """As most editors save."""
    path = write("a.yaml", family(1))
    follower = follow()
    (folder / ".a.yaml.swp").write_text(family(1, 2))
    (folder / ".a.yaml.swp").rename(path)
    assert numbers(await follower.next()) == [1, 2]


async def test_a_new_folder_is_followed_too(folder: Path, tmp_path: Path, family: Text, follow: Follow) -> None:
    """Also one that is moved here with its files, and away again."""
    follower = follow()
    (tmp_path / "made" / "deep").mkdir(parents=True)
    (tmp_path / "made" / "deep" / "a.yaml").write_text(family(1))
    (tmp_path / "made").rename(folder / "made")
    assert numbers(await follower.next()) == [1]
    (folder / "made" / "deep" / "b.yaml").write_text(family(2))
    assert numbers(await follower.until(lambda catalogue: len(catalogue) == 2)) == [1, 2]
    (folder / "made").rename(tmp_path / "gone")
    assert numbers(await follower.next(LOSS_BOUND)) == []


async def test_a_kubernetes_mount_that_swaps_its_links_is_seen(folder: Path, family: Text, follow: Follow) -> None:
    """A ConfigMap's files are links through `..data`, which is replaced by a rename."""

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
    assert follower.is_quiet()


async def test_what_changed_before_watching_began_shows_at_once(folder: Path, write: Write, family: Text) -> None:
    """Between the first reading and the watching an agent host opens hundreds of ports."""
    current = read(folder)
    write("a.yaml", family(1))
    follower = Follower(folder, current)
    assert numbers(await follower.next()) == [1]
    await follower.end()


async def test_only_real_changes_show(folder: Path, write: Write, family: Text, follow: Follow) -> None:
    """A touched file, a comment, a note beside the definitions: the next thing to show is a change that matters."""
    path = write("a.yaml", family(1))
    follower = follow()
    os.utime(path)
    write("notes.md", "nothing")
    write("a.yaml", "# a comment\n" + family(1))
    write("b.yaml", family(2))
    assert numbers(await follower.until(lambda catalogue: True)) == [1, 2]
    assert follower.is_quiet()


async def test_a_folder_that_goes_away_keeps_its_agents_until_it_returns(folder: Path, write: Write, family: Text, follow: Follow) -> None:
    """A volume that is remounted takes no agent off the air."""
    write("a.yaml", family(1))
    follower = follow()
    os.rename(folder, folder.with_name("away"))
    gone = await follower.until(lambda catalogue: bool(catalogue.problems))
    assert numbers(gone) == [1]
    assert "cannot be read: no such file or directory" in gone.problems[0].message
    write("a.yaml", family(1, 2))
    assert numbers(await follower.until(lambda catalogue: not catalogue.problems and len(catalogue) > 1)) == [1, 2]
    write("a.yaml", family(1, 2, 3))
    assert numbers(await follower.until(lambda catalogue: len(catalogue) > 2)) == [1, 2, 3]


async def test_polling_can_be_asked_for(write: Write, family: Text, follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    """By watchfiles' own environment variable, for file systems that tell nothing."""
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "true")
    follower = follow()
    write("a.yaml", family(1))
    assert numbers(await follower.next()) == [1]


def test_without_inotify_the_folder_is_polled(tmp_path: Path, single: Text) -> None:
    """In a user namespace whose limit of inotify instances is zero: what a machine with too many watchers is like."""
    limit = "echo 0 > /proc/sys/user/max_inotify_instances"
    unshare = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    try:
        subprocess.run([*unshare, limit], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this machine allows no user namespace with a limit of its own: {error}")
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


async def test_stopping_ends_the_watching_within_a_second(follow: Follow) -> None:
    """Also while nothing happens."""
    follower = follow()
    await asyncio.sleep(0)
    follower.stop.set()
    await asyncio.wait_for(follower.task, 1.0)


async def test_cancelling_ends_the_watching_and_leaves_the_callers_event_alone(follow: Follow) -> None:
    """`stop` may be shared with others."""
    follower = follow()
    await asyncio.sleep(0)
    follower.task.cancel()
    done, _ = await asyncio.wait([follower.task], timeout=1.0)
    assert done
    assert follower.task.cancelled()
    assert not follower.stop.is_set()
