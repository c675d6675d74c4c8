"""The cache of parsed definitions: it changes how fast they are read, and nothing else."""

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue.files import cache as cache_module
from catalogue.files.cache import DocumentCache, Entry
from catalogue.files.reader import read
from catalogue.model import revision_of

Text = Callable[..., str]
Write = Callable[..., Path]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def entries(kept: Path) -> list[Path]:
    return sorted(kept.iterdir())


def overwrite(entry: Path, change: Callable[[str], str]) -> None:
    """Changes a valid entry into another valid entry."""
    payload = change(entry.read_bytes().partition(b"\n")[2].decode()).encode()
    entry.write_bytes(cache_module._digest(payload) + b"\n" + payload)


def test_an_entry_replaces_the_parsing_of_the_same_content(folder: Path, write: Write, family: Text, kept: Path) -> None:
    write("a.yaml", family(1, 2))
    write("b.json", json.dumps({"agent_id": "x_agent_1_9", "category": "x", "role": "x", "name": "N", "description": "D", "prompt": "P"}))
    first = read(folder, cache=DocumentCache(kept))
    assert first == read(folder) == read(folder, cache=DocumentCache(kept))
    assert len(entries(kept)) == 2
    for entry in entries(kept):
        overwrite(entry, lambda text: text.replace("Does work 1.", "Comes from the entry."))
    assert read(folder, cache=DocumentCache(kept)).agents[0].description == "Comes from the entry."


def test_a_changed_file_is_parsed_and_checked(folder: Path, write: Write, family: Text, kept: Path) -> None:
    """With its line numbers. A broken file leaves no entry."""
    write("a.yaml", family(1))
    cache = DocumentCache(kept)
    first = read(folder, cache=cache)
    path = write("a.yaml", family(1).replace("name: Agent 1", "name: 5"))
    (problem,) = read(folder, first, cache=cache).problems
    assert str(problem) == f"{path}: line 8: agents[0].name must be a string; quote it"
    write("a.yaml", family(3))
    assert [agent.number for agent in read(folder, first, cache=cache).agents] == [3]
    assert len(entries(kept)) == 2


def test_an_entry_of_other_checks_is_not_used(
    folder: Path, write: Write, family: Text, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.yaml", family(1))
    read(folder, cache=DocumentCache(kept))
    overwrite(entries(kept)[0], lambda text: text.replace("Agent 1", "Old"))
    monkeypatch.setattr(cache_module, "_version", lambda: b"new checks")
    assert read(folder, cache=DocumentCache(kept)).agents[0].name == "Agent 1"


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda _: b"", lambda data: data.replace(b"Agent", b"Event")])
def test_a_damaged_entry_is_not_used(folder: Path, write: Write, family: Text, kept: Path, damage: Callable[[bytes], bytes]) -> None:
    write("a.yaml", family(1))
    read(folder, cache=DocumentCache(kept))
    entries(kept)[0].write_bytes(damage(entries(kept)[0].read_bytes()))
    assert read(folder, cache=DocumentCache(kept)) == read(folder)
    assert read(folder, cache=DocumentCache(kept)).agents[0].name == "Agent 1"


def test_a_folder_that_others_may_write_to_is_not_used(folder: Path, write: Write, family: Text, kept: Path) -> None:
    """They could replace the prompts of agents."""
    kept.mkdir()
    kept.chmod(0o777)
    write("a.yaml", family(1))
    assert read(folder, cache=DocumentCache(kept)) == read(folder)
    assert entries(kept) == []


def test_the_folder_is_private(folder: Path, write: Write, family: Text, kept: Path) -> None:
    write("a.yaml", family(1))
    read(folder, cache=DocumentCache(kept))
    assert kept.stat().st_mode & 0o777 == 0o700
    assert entries(kept)[0].stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_used_does_not_matter(folder: Path, write: Write, family: Text, tmp_path: Path, kept: Path) -> None:
    """A path below a file, and a folder that disappears."""
    write("a.yaml", family(1))
    (tmp_path / "file").write_text("")
    assert read(folder, cache=DocumentCache(tmp_path / "file" / "cache")) == read(folder)
    gone = DocumentCache(kept)
    assert gone.find(b"", ".yaml") is None
    kept.rmdir()
    assert read(folder, cache=gone) == read(folder)


def test_a_document_that_cannot_be_kept_exactly_is_not_kept(kept: Path) -> None:
    cache = DocumentCache(kept)
    cache.add(b"text", ".json", Entry({"maximum": 10**30}, []))
    assert cache.find(b"text", ".json") is None


def test_old_entries_are_deleted_and_those_in_use_are_kept(
    folder: Path, write: Write, family: Text, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "MOST_ENTRIES", 3)
    write("a.yaml", family(1))
    cache = DocumentCache(kept)
    catalogue = read(folder, cache=cache)
    (used,) = entries(kept)
    os.utime(used, (1, 1))
    for age in range(5):
        other = kept / f"other{age}"
        other.write_text("x")
        os.utime(other, (100 + age, 100 + age))
    write("b.yaml", family(2, role="analyst"))
    read(folder, catalogue, cache=cache)
    names = {path.name for path in entries(kept)}
    assert used.name in names
    assert {name for name in names if name.startswith("other")} == {"other4"}


def test_several_readers_may_share_a_folder(folder: Path, write: Write, family: Text, kept: Path) -> None:
    for number in range(1, 30):
        write(f"{number}.yaml", family(number, role=f"role_{number}"))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: read(folder, cache=DocumentCache(kept)), range(8)))
    assert found == [read(folder)] * 8
    assert len(entries(kept)) == 29


def test_no_folder_means_no_cache() -> None:
    assert DocumentCache.at(None) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON))
def test_revisions_do_not_depend_on_the_library_that_writes_the_json(content: dict[str, object]) -> None:
    """Revisions are stored with executions, so they must not change."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert revision_of(content) == hashlib.sha256(canonical.encode()).hexdigest()[:12]
