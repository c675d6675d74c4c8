"""What is computed of agents can be kept between starts, and changes nothing but the time that it takes."""

from pathlib import Path

import numpy as np
import pytest

from catalogue.files.cache import EntryFolder
from catalogue.model import AgentDefinition
from catalogue.search import features as features_module
from catalogue.search.features import Features, features_of
from catalogue.search.index import SearchIndex
from tests.unit.orchestrator.making import definition

AGENTS = [
    definition(1, name="Invoice Clerk", queries=("Wer schreibt eine Rechnung?", "invoice help"), examples=("Write the invoice 7.",)),
    definition(2, name="Café Owner", description="Runs the café.", revision="other"),
]


def same(ones: list[Features], others: list[Features]) -> bool:
    return all(
        one.document == other.document and all(np.array_equal(*parts) for parts in zip(one.tokens, other.tokens, strict=True))
        for one, other in zip(ones, others, strict=True)
    )


def afresh(monkeypatch: pytest.MonkeyPatch) -> list[Features]:
    """The features of AGENTS, shared with nothing."""
    monkeypatch.setattr(features_module, "_in_use", {})
    return list(features_of(AGENTS))


def test_kept_features_are_those_that_were_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features_of(AGENTS, EntryFolder(tmp_path / "kept"))

    def not_again(agent: AgentDefinition) -> Features:
        raise AssertionError(f"{agent.agent_id} is computed again")

    with monkeypatch.context() as patched:
        patched.setattr(features_module, "_computed", not_again)
        read = list(features_of(AGENTS, EntryFolder(tmp_path / "kept")))
    assert same(read, afresh(monkeypatch))


def test_a_changed_agent_is_computed_again(tmp_path: Path) -> None:
    features_of(AGENTS, EntryFolder(tmp_path / "kept"))
    changed = [AGENTS[0], definition(2, name="Tea Owner", revision="another")]
    assert "tea" in list(features_of(changed, EntryFolder(tmp_path / "kept")))[1].document.words


def test_features_of_other_rules_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features_of(AGENTS, EntryFolder(tmp_path / "kept"))
    before = len(list((tmp_path / "kept").iterdir()))
    monkeypatch.setattr(features_module, "_in_use", {})
    monkeypatch.setattr(features_module, "_version", lambda: b"other weights")
    features_of(AGENTS, EntryFolder(tmp_path / "kept"))
    assert len(list((tmp_path / "kept").iterdir())) > before


def test_a_damaged_entry_is_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features_of(AGENTS, EntryFolder(tmp_path / "kept"))
    for entry in (tmp_path / "kept").iterdir():
        entry.write_bytes(entry.read_bytes()[:-3])
    assert same(list(features_of(AGENTS, EntryFolder(tmp_path / "kept"))), afresh(monkeypatch))


def test_an_agent_that_did_not_change_shares_its_features_with_the_index_before() -> None:
    before = features_of(AGENTS)
    assert features_of([AGENTS[0]])[0] is before[0]
    assert features_of([definition(1, name="Tea Owner")])[0] is not before[0]


@pytest.mark.parametrize("search", ["invoice", "who runs the cafe", "Wer schreibt die Rechnungen?"])
def test_an_index_of_kept_features_finds_the_same(tmp_path: Path, search: str) -> None:
    SearchIndex(AGENTS, EntryFolder(tmp_path / "kept"))
    assert SearchIndex(AGENTS, EntryFolder(tmp_path / "kept")).find(search) == SearchIndex(AGENTS).find(search)
