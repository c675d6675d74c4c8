"""`python -m catalogue lint [--strict] [PATH]`, `… onet --from FOLDER [PATH]` and `… generate COUNT FOLDER`."""

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from catalogue.errors import DefinitionsUnreadable
from catalogue.files.reader import read
from catalogue.lint.linter import lint
from catalogue.onet import ONET, load_all_tasks, load_tasks, render
from catalogue.pricing.prices import PriceBook
from catalogue.synthetic import generate
from mesh.clock import SYSTEM_CLOCK

SHIPPED = Path(__file__).resolve().parents[1] / "definitions"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns the exit code: 0 for success, 1 if the definitions have problems, 2 if the command cannot run."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (DefinitionsUnreadable, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _lint(options: argparse.Namespace) -> int:
    """Prints each problem and each warning, then the totals. Warnings do not change the exit code."""
    catalogue = read(options.path)
    report = lint(catalogue, load_tasks(), PriceBook.load(), options.today or SYSTEM_CLOCK.now().date(), strict=options.strict)
    problems = [*catalogue.problems, *report.problems]
    for line in (*problems, *report.warnings):
        _say(str(line))
    agents, files = len(catalogue), len(catalogue.files)
    _say(f"{_count_of(agents, 'agent')} in {_count_of(files, 'file')}, {_count_of(len(problems), 'problem')}")
    return 1 if problems else 0


def _generate(options: argparse.Namespace) -> int:
    folder: Path = options.folder
    if folder.exists() and any(folder.iterdir()):
        sys.stderr.write(f"cannot generate definitions: the folder '{folder}' is not empty; name a new or empty folder\n")
        return 2
    files = generate(options.count, folder)
    _say(f"wrote {options.count} agents in {files} files to {folder}")
    return 0


def _onet(options: argparse.Namespace) -> int:
    """Writes the cited tasks. Writes nothing if a cited task does not exist."""
    catalogue, tasks = read(options.path), load_all_tasks(options.source)
    unknown = [(agent, task) for agent in catalogue.agents for task in agent.tasks if task not in tasks]
    for agent, task in unknown:
        _say(f"{agent.source}: '{agent.agent_id}' cites the task {task}, which {options.source}/tasks.tsv does not have; correct the id")
    for problem in catalogue.problems:
        _say(str(problem))
    if unknown or catalogue.problems:
        return 1
    cited = {task for agent in catalogue.agents for task in agent.tasks}
    options.to.write_text(render(tasks, cited), encoding="utf-8")
    _say(f"wrote {_count_of(len(cited), 'task')} to {options.to}")
    return 0


def _count_of(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _say(line: str) -> None:
    """Prints a line. Characters that the terminal cannot show are escaped: the name of a file need not be valid text."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m catalogue", description="Works with agent definitions.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("lint", help="check the definitions in a folder")
    check.add_argument("path", type=Path, nargs="?", default=SHIPPED, help="the folder (default: those of AgentMesh)")
    check.add_argument("--strict", action="store_true", help="also check what the shipped catalogue must satisfy")
    check.add_argument("--today", type=date.fromisoformat, metavar="DATE", help="the date on which facts are due (default: today)")
    check.set_defaults(run=_lint)
    onet = commands.add_parser("onet", help="copy the O*NET tasks that the definitions cite")
    onet.add_argument("path", type=Path, nargs="?", default=SHIPPED, help="the folder (default: those of AgentMesh)")
    onet.add_argument("--from", type=Path, required=True, dest="source", metavar="FOLDER", help="the folder with tasks.tsv, the whole list")
    onet.add_argument("--to", type=Path, default=ONET, metavar="FILE", help="the file to write (default: catalogue/onet.tsv)")
    onet.set_defaults(run=_onet)
    made_up = commands.add_parser("generate", help="write synthetic definitions of a realistic size, for tests and benchmarks")
    made_up.add_argument("count", type=_count, help="the number of agents; they are numbered 1 to COUNT")
    made_up.add_argument("folder", type=Path, help="a new or empty folder")
    made_up.set_defaults(run=_generate)
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"invalid count {count}: use at least 1")
    return count


if __name__ == "__main__":
    sys.exit(main())
