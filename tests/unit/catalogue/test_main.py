"""`python -m catalogue`, and the shipped definitions."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from catalogue.__main__ import SHIPPED, main
from catalogue.files.reader import read
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
        f"{old}: warning: the model 'claude-3-5-sonnet-20241022' is retired and 'claude-sonnet-5-5' answers instead; "
        "name 'claude-sonnet-5-5' in the file",
        f"{new}: warning: models.yaml has no price for 'claude-sonnet-9', so its calls are booked at the highest price; add a price",
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
def test_1500_agents_are_read_in_under_a_second(folder: Path) -> None:
    """150 families with prompts of 1.5 to 3 KB. A second reading without changes takes a tenth of the time."""
    main(["generate", "1500", str(folder)])
    sizes = [len(agent.family_prompt) for agent in read(folder).agents]
    assert min(sizes) >= 1400
    assert max(sizes) <= 3100
    first, again = _seconds_to_read(folder)
    assert first < 1.0
    assert again < 0.1


def _seconds_to_read(folder: Path) -> tuple[float, float]:
    """CPU time: the machine may have other work."""
    began = time.thread_time()
    catalogue = read(folder)
    between = time.thread_time()
    assert len(catalogue) == 1500
    assert len(read(folder, catalogue)) == 1500
    return between - began, time.thread_time() - between
