"""A file that is missing for a moment is not deleted: files that are written, replaced or moved keep their agents."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from catalogue.catalogue import Catalogue
from catalogue.files.reader import read
from catalogue.files.settling import CONFIRM_SECONDS, QUIET_SECONDS, Settling
from tests.support.clock import SetClock

Text = Callable[..., str]
Write = Callable[..., Path]


class Reader:
    """Reads a folder as the watcher does, with a clock that the test sets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clock = SetClock()
        self._settling = Settling(self._clock)
        self._catalogue = read(folder)

    def look(self, after: float = 0.0) -> Catalogue:
        self._clock.advance(after)
        self._catalogue = read(self._folder, self._catalogue, self._settling)
        return self._catalogue

    def numbers(self, after: float = 0.0) -> list[int]:
        return [agent.number for agent in self.look(after).agents]

    @property
    def next_look(self) -> float | None:
        return self._settling.next_look


@pytest.fixture
def ten(folder: Path, write: Write, family: Text) -> Path:
    """A family of ten agents."""
    return write("a.yaml", family(*range(1, 11)))


ALL = list(range(1, 11))


def prefix(path: Path, agents: int) -> None:
    """A prefix that is valid YAML: the family's own keys and its first agents."""
    text = path.read_text()
    path.write_text(text[: text.index(f"  - agent_id: marketing_strategist_agent_{agents + 1}_")])


@pytest.mark.parametrize("agents", [1, 5, 9])
def test_a_truncated_file_that_is_valid_yaml_removes_no_agent_for_two_seconds(folder: Path, ten: Path, agents: int) -> None:
    reader, whole = Reader(folder), ten.read_text()
    prefix(ten, agents)
    assert reader.numbers() == ALL
    assert reader.numbers(after=QUIET_SECONDS) == ALL
    assert reader.numbers(after=2.0) == ALL
    ten.write_text(whole.replace("field 10", "field X"))
    assert reader.numbers() == ALL
    changed = reader.look(after=QUIET_SECONDS)
    assert [agent.number for agent in changed.agents] == ALL
    assert "field X" in changed.agents[-1].focus
    assert reader.next_look is None


def test_a_file_that_is_deleted_and_created_again_keeps_its_agents(folder: Path, ten: Path) -> None:
    reader, whole = Reader(folder), ten.read_text()
    ten.unlink()
    assert reader.numbers() == ALL
    assert reader.numbers(after=4.9) == ALL
    ten.write_text(whole)
    assert reader.numbers() == ALL
    assert reader.numbers(after=QUIET_SECONDS) == ALL
    ten.unlink()  # the wait starts again
    assert reader.numbers(after=4.9) == ALL


def test_a_folder_that_is_deleted_and_created_again_keeps_its_agents(folder: Path, write: Write, family: Text) -> None:
    path = write("sub/a.yaml", family(1, 2))
    reader, whole = Reader(folder), path.read_text()
    path.unlink()
    path.parent.rmdir()
    assert reader.numbers() == [1, 2]
    assert reader.numbers(after=4.0) == [1, 2]
    write("sub/a.yaml", whole)
    reader.look()
    assert reader.numbers(after=QUIET_SECONDS) == [1, 2]


def test_a_file_that_is_emptied_for_a_moment_keeps_its_agents(folder: Path, ten: Path) -> None:
    reader = Reader(folder)
    ten.write_text("")
    assert reader.numbers() == ALL
    assert reader.numbers(after=10.0) == ALL
    assert [problem.source for problem in reader.look().problems] == [ten]


@pytest.mark.parametrize("change", ["prefix", "file", "agent"])
def test_a_loss_confirmed_by_a_second_reading_is_a_deletion(folder: Path, ten: Path, change: str) -> None:
    reader = Reader(folder)
    if change == "file":
        ten.unlink()
    else:
        prefix(ten, 2 if change == "prefix" else 9)
    reader.look()
    reader.look(after=QUIET_SECONDS)
    assert reader.next_look is not None
    assert 4.5 < reader.next_look <= CONFIRM_SECONDS
    assert reader.numbers(after=reader.next_look) == {"file": [], "prefix": [1, 2], "agent": ALL[:-1]}[change]


def test_a_file_that_keeps_changing_is_not_confirmed(folder: Path, ten: Path) -> None:
    reader = Reader(folder)
    for agents in (9, 8, 7, 6):
        prefix(ten, agents)
        reader.look()
        reader.look(after=QUIET_SECONDS)
        assert reader.numbers(after=4.0) == ALL


def test_a_file_is_read_once_it_is_unchanged_for_a_while_regardless_of_its_mtime(folder: Path, write: Write, family: Text) -> None:
    """A file from a machine with a wrong clock may have an mtime in the future."""
    reader = Reader(folder)
    path = folder / "a.yaml"
    for count in (1, 2, 3):
        path.write_text(family(*range(1, count + 1)))
        os.utime(path, (4_000_000_000 + count, 4_000_000_000 + count))
        assert reader.numbers(after=QUIET_SECONDS - 0.01) == []
    assert reader.next_look == pytest.approx(QUIET_SECONDS)
    assert reader.numbers(after=QUIET_SECONDS) == [1, 2, 3]
    assert reader.next_look is None


def test_a_renamed_file_moves_its_agents_without_a_clash(folder: Path, ten: Path) -> None:
    reader = Reader(folder)
    ten.rename(folder / "b.yaml")
    assert reader.numbers() == ALL
    moved = reader.look(after=QUIET_SECONDS)
    assert {agent.source.name for agent in moved.agents} == {"b.yaml"}
    assert (len(moved), moved.problems, reader.next_look) == (10, (), None)


def test_agents_moved_to_a_file_of_their_own_are_kept(folder: Path, ten: Path, write: Write, family: Text) -> None:
    reader, text = Reader(folder), ten.read_text()
    cut = text.index("  - agent_id: marketing_strategist_agent_4_")
    ten.write_text(text[:cut])
    write("b.yaml", text[: text.index("  - agent_id")] + text[cut:])
    reader.look()
    split = reader.look(after=QUIET_SECONDS)
    assert [agent.source.name for agent in split.agents] == ["a.yaml"] * 3 + ["b.yaml"] * 7
    assert (split.problems, reader.next_look) == ((), None)


def test_agents_moved_while_others_are_deleted_do_not_clash(folder: Path, ten: Path, write: Write) -> None:
    reader, text = Reader(folder), ten.read_text()
    write("b.yaml", text.replace(text[text.index("  - agent_id: marketing_strategist_agent_10_") :], ""))
    ten.unlink()
    reader.look()
    moved = reader.look(after=QUIET_SECONDS)
    assert [agent.source.name for agent in moved.agents] == ["b.yaml"] * 9 + ["a.yaml"]
    assert moved.problems == ()
    assert reader.numbers(after=CONFIRM_SECONDS) == ALL[:-1]
