"""Reading a folder again: changed files are read, and an agent whose file became invalid keeps serving."""

from collections.abc import Callable
from pathlib import Path

from catalogue.files.reader import read

Text = Callable[..., str]
Write = Callable[..., Path]


def test_only_changed_files_are_read_again(folder: Path, write: Write, family: Text) -> None:
    """The agents of an unchanged file are the same objects."""
    write("a.yaml", family(1))
    write("b.yaml", family(2))
    first = read(folder)
    write("b.yaml", family(2, extra="max_tokens: 9\n"))
    second = read(folder, first)
    assert second.agents[0] is first.agents[0]
    assert (first.agents[1].max_tokens, second.agents[1].max_tokens) == (4096, 9)
    assert second != first
    assert read(folder, second) == second


def test_a_recently_written_file_is_read_again(folder: Path, write: Write, single: Text) -> None:
    """Two writes of the same size within one tick of the file system's clock have the same size and mtime."""
    write("a.yaml", single(extra="max_tokens: 1\n"), settled=False)
    first = read(folder)
    write("a.yaml", single(extra="max_tokens: 2\n"), settled=False)
    assert read(folder, first).agents[0].max_tokens == 2


def test_an_invalid_file_keeps_its_agents_and_is_reported_until_it_is_corrected(folder: Path, write: Write, family: Text) -> None:
    """Also over several readings."""
    write("a.yaml", family(1, 2))
    first = read(folder)
    write("a.yaml", "category: [")
    broken = read(folder, first)
    assert broken.agents == first.agents
    assert [problem.source.name for problem in broken.problems] == ["a.yaml"]
    assert read(folder, broken) == broken
    write("a.yaml", "")
    still_broken = read(folder, broken)
    assert still_broken.agents == first.agents
    assert "empty" in still_broken.problems[0].message
    write("a.yaml", family(1, 3))
    mended = read(folder, still_broken)
    assert [agent.number for agent in mended.agents] == [1, 3]
    assert mended.problems == ()


def test_a_removed_file_removes_its_agents(folder: Path, write: Write, family: Text) -> None:
    """Also if the file was invalid before."""
    write("a.yaml", family(1))
    write("b.yaml", family(2))
    first = read(folder)
    write("a.yaml", "{")
    broken = read(folder, first)
    (folder / "a.yaml").unlink()
    assert [agent.number for agent in read(folder, broken).agents] == [2]
    assert read(folder, broken).problems == ()


def test_a_new_file_adds_its_agents(folder: Path, write: Write, family: Text) -> None:
    """A renamed file keeps its agents."""
    first = read(folder)
    write("a.yaml", family(1))
    second = read(folder, first)
    assert [agent.number for agent in second.agents] == [1]
    (folder / "a.yaml").rename(folder / "b.yaml")
    third = read(folder, second)
    assert [(agent.number, agent.source.name) for agent in third.agents] == [(1, "b.yaml")]
    assert third.problems == ()


def test_the_first_path_wins_when_two_definitions_have_one_number(folder: Path, write: Write, family: Text, single: Text) -> None:
    """The problem names both files and a free number."""
    write("b.yaml", family(1, 2))
    write("a/z.yaml", single(2))
    catalogue = read(folder)
    assert [agent.agent_id for agent in catalogue.agents] == ["marketing_strategist_agent_1_1", "own_helper_agent_1_2"]
    (problem,) = catalogue.problems
    assert problem.source.name == "b.yaml"
    assert "'marketing_strategist_agent_2_2' is not served: its number is taken by 'own_helper_agent_1_2' in" in problem.message
    assert "(3 is free)" in problem.message


def test_the_first_path_wins_when_two_definitions_have_one_id(folder: Path, write: Write, single: Text) -> None:
    """The usual cause is a copied file."""
    write("a.yaml", single(7))
    write("copy of a.yaml", single(7))
    catalogue = read(folder)
    assert [agent.source.name for agent in catalogue.agents] == ["a.yaml"]
    assert "its agent_id is taken by 'own_helper_agent_1_7' in" in catalogue.problems[0].message


def test_the_first_of_two_definitions_with_one_number_in_one_file_serves(folder: Path, write: Write, family: Text) -> None:
    """The other agents of the file are served too."""
    write("a.yaml", family(5, 5, 6))
    catalogue = read(folder)
    assert [agent.agent_id for agent in catalogue.agents] == ["marketing_strategist_agent_1_5", "marketing_strategist_agent_3_6"]
    assert "earlier in this file" in catalogue.problems[0].message


def test_an_agent_that_serves_keeps_its_number(folder: Path, write: Write, single: Text) -> None:
    """A new file displaces no agent, whatever its path. It serves when the other one is removed."""
    write("m.yaml", single(7))
    first = read(folder)
    write("a.yaml", single(7, prefix="new_helper"))
    second = read(folder, first)
    assert [agent.agent_id for agent in second.agents] == ["own_helper_agent_1_7"]
    assert [problem.source.name for problem in second.problems] == ["a.yaml"]
    (folder / "m.yaml").unlink()
    third = read(folder, second)
    assert [agent.agent_id for agent in third.agents] == ["new_helper_agent_1_7"]
    assert third.problems == ()


def test_incremental_readings_end_in_the_same_catalogue_as_one_reading(folder: Path, write: Write, family: Text) -> None:
    """As long as no two definitions clash."""
    step = read(folder)
    for number in range(1, 6):
        write(f"{number}.yaml", family(number))
        step = read(folder, step)
    assert step == read(folder)
