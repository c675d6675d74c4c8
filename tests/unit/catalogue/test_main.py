"""`python -m catalogue`, and the shipped definitions."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from catalogue.__main__ import SHIPPED, main
from catalogue.files.cache import DocumentCache
from catalogue.files.reader import read
from catalogue.onet import load_tasks
from catalogue.prompt import system_prompt

Text = Callable[..., str]
Write = Callable[..., Path]


def test_lint_prints_every_problem_and_fails(
    folder: Path, write: Write, family: Text, single: Text, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for each problem, then the total."""
    write("good.yaml", family(1, 2))
    bad = write("bad.yaml", single(3, extra="temperature: 1\n"))
    assert main(["lint", str(folder)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"{bad}: line 7: temperature is not supported: the provider's API no longer has sampling parameters")
    assert out[1:] == ["2 agents in 2 files, 1 problem"]


def test_lint_passes_valid_files_and_warns_about_models(
    folder: Path, write: Write, family: Text, capsys: pytest.CaptureFixture[str]
) -> None:
    """A retired model and one without a price are warnings, and do not fail."""
    old = write("a.yaml", family(1, 2, extra="model: claude-3-5-sonnet-20241022\n"))
    new = write("b.yaml", family(3, role="analyst", extra="model: claude-sonnet-9\n"))
    write("c.yaml", family(4, role="coach", extra="model: claude-haiku-4-5-20251001\n"))
    assert main(["lint", str(folder)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [
        f"{old}: warning: line 6: model is 'claude-3-5-sonnet-20241022', which is retired; 'claude-sonnet-5-5' answers instead, "
        "so name that",
        f"{new}: warning: line 6: model is 'claude-sonnet-9', which has no price in models.yaml and is booked at the highest price; "
        "correct the name, or add a price",
        "4 agents in 3 files, 0 problems",
    ]


def test_lint_of_a_missing_folder_prints_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no traceback."""
    assert main(["lint", str(folder / "nowhere")]) == 2
    assert "no such file or directory" in capsys.readouterr().err


def test_lint_prints_a_file_name_that_is_not_utf8(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """File names are bytes."""
    with open(os.fsencode(folder) + b"/caf\xe9.yaml", "w") as file:
        file.write("[")
    assert main(["lint", str(folder)]) == 1
    assert "caf\\udce9.yaml: line" in capsys.readouterr().out


def test_strict_lint_reports_missing_parts_of_the_shipped_catalogue(
    folder: Path, write: Write, family: Text, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with the line of the agent or of the list. Without --strict the same file has no problems."""
    path = write("a.yaml", family(1, 2, extra="markets: [any]\nfacts: []\n") + "    queries: [who helps]\n    risk: low\n")
    assert main(["lint", str(folder)]) == 0
    capsys.readouterr()
    assert main(["lint", "--strict", str(folder)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert f"{path}: line 9: agents[0].queries has 0 entries; the shipped catalogue needs 3 to 5" in out
    assert f"{path}: line 9: agents[0].risk is missing; add it here or to the family" in out
    assert f"{path}: line 9: agents[0].output is missing; add it with parts and words" in out
    assert f"{path}: line 19: agents[1].queries has 1 entries; the shipped catalogue needs 3 to 5" in out
    assert not [line for line in out if "markets" in line or "facts" in line or "agents[1].risk" in line]


TASKS = "soc_code\ttask_id\ttype\ttask\n11-1011.00\t{first}\tCore\tPrepare budgets.\n11-2011.00\t77\tCore\tPlan campaigns.\n"


def test_the_cited_tasks_are_copied_with_attribution(
    folder: Path, write: Write, family: Text, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only cited tasks are copied. If a task does not exist, it is named and nothing is written."""
    path = write("a.yaml", family(1) + "    tasks: [8823]\n")
    target = tmp_path / "onet.tsv"
    command = ["onet", "--from", str(tmp_path), "--to", str(target), str(folder)]
    assert main(command) == 2
    assert "tasks.tsv' cannot be read" in capsys.readouterr().err
    (tmp_path / "tasks.tsv").write_text(TASKS.format(first=99))
    assert main(command) == 1
    assert f"{path}: 'marketing_strategist_agent_1_1' cites the task 8823, which {tmp_path}/tasks.tsv does not" in capsys.readouterr().out
    assert not target.exists()
    (tmp_path / "tasks.tsv").write_text(TASKS.format(first=8823))
    assert main(command) == 0
    assert load_tasks(target) == {8823: ("11-1011.00", "Prepare budgets.")}
    assert "O*NET 29.1 Database" in target.read_text()
    assert "CC BY 4.0" in target.read_text()


def test_lint_reports_a_task_that_was_not_copied(folder: Path, write: Write, family: Text, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("a.yaml", family(1) + "    tasks: [2147483647]\n")
    assert main(["lint", str(folder)]) == 1
    assert f"{path}: line 12: agents[0].tasks[0] is 2147483647, which is not in catalogue/onet.tsv" in capsys.readouterr().out


@pytest.mark.slow
def test_the_catalogue_runs_as_a_module() -> None:
    """The shipped definitions have no problems."""
    done = subprocess.run([sys.executable, "-m", "catalogue", "lint"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].endswith("0 problems")


def test_shipped_definitions_are_valid_and_in_their_folder() -> None:
    """Each is at `<category>/<role>.yaml`, and every prompt can be rendered."""
    catalogue = read(SHIPPED)
    assert [str(problem) for problem in catalogue.problems] == []
    for agent in catalogue.agents:
        assert agent.source.relative_to(SHIPPED) == Path(agent.category, f"{agent.role}.yaml")
        assert agent.agent_id.startswith(f"{agent.category}_{agent.role}_agent_")
        assert len(system_prompt(agent)) > len(agent.focus)


@pytest.mark.parametrize("count", [1, 10, 25])
def test_generated_definitions_are_valid(count: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are numbered 1 to COUNT, in families of ten."""
    assert main(["generate", str(count), str(folder)]) == 0
    catalogue = read(folder)
    assert catalogue.problems == ()
    assert [agent.number for agent in catalogue.agents] == list(range(1, count + 1))
    assert len(catalogue.files) == -(-count // 10)
    assert f"{count} agents" in capsys.readouterr().out


def test_generate_overwrites_nothing(folder: Path, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """The numbers would clash with those of the existing files."""
    write("mine.yaml", "mine")
    assert main(["generate", "10", str(folder)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert (folder / "mine.yaml").read_text() == "mine"
    with pytest.raises(SystemExit):
        main(["generate", "0", str(folder / "new")])


def test_the_same_count_generates_the_same_definitions(folder: Path) -> None:
    """Figures from different machines stay comparable."""
    main(["generate", "30", str(folder / "a")])
    main(["generate", "30", str(folder / "b")])
    revisions = [[agent.revision for agent in read(folder / name).agents] for name in "ab"]
    assert revisions[0] == revisions[1]


@pytest.mark.slow
def test_1500_agents_are_read_in_less_than_a_second(folder: Path, tmp_path: Path) -> None:
    """150 families of 45 to 55 kB, as the shipped ones. A second reading without changes takes a tenth of the time."""
    main(["generate", "1500", str(folder)])
    sizes = [path.stat().st_size for path in folder.rglob("*.yaml")]
    assert min(sizes) >= 45_000
    assert max(sizes) <= 55_000
    read(folder, cache=DocumentCache(tmp_path / "cache"))
    # Three tries, because one may pay for the collection of other tests' objects.
    tries = [_seconds_to_read(folder, DocumentCache(tmp_path / "cache")) for _ in range(3)]
    first, again = (min(column) for column in zip(*tries, strict=True))
    assert first < SECONDS_TO_READ
    assert again < SECONDS_TO_READ / 10


SECONDS_TO_READ = 1.0
"""From the cache, which takes a few tenths of a second on an idle machine."""


def _seconds_to_read(folder: Path, cache: DocumentCache) -> tuple[float, float]:
    """CPU time: the machine may have other work."""
    began = time.thread_time()
    catalogue = read(folder, cache=cache)
    between = time.thread_time()
    assert len(catalogue) == 1500
    assert len(read(folder, catalogue)) == 1500
    return between - began, time.thread_time() - between
