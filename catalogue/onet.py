"""The task statements of the O*NET database that definitions cite.

The repository contains only the cited statements. `python -m catalogue onet` writes them from a folder with the whole list.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from catalogue.errors import DefinitionsUnreadable

ONET = Path(__file__).with_name("onet.tsv")
CREDIT = """\
# This page includes information from the O*NET 29.1 Database by the U.S. Department of Labor, Employment and Training Administration
# (USDOL/ETA), used under the CC BY 4.0 licence (https://www.onetcenter.org/license_db.html). The data is reduced to these columns and to
# the tasks that the definitions cite. O*NET is a trademark of USDOL/ETA.
# Written by `python -m catalogue onet --from FOLDER`; do not edit it by hand.
"""
_COLUMNS = ("task_id", "soc_code", "task")

Tasks = Mapping[int, tuple[str, str]]
"""The occupation code and the statement of each task."""


@cache
def _shipped() -> "Tasks":
    return load_tasks()


def statements_of(tasks: Iterable[int]) -> Sequence[str]:
    """The statements of those of the tasks that are in `onet.tsv`."""
    shipped = _shipped()
    return [shipped[task][1] for task in tasks if task in shipped]


def load_tasks(path: Path = ONET) -> Tasks:
    """The statements in a file like `onet.tsv`. Raises DefinitionsUnreadable."""
    return _tasks(path)


def load_all_tasks(folder: Path) -> Tasks:
    """The statements in the whole list, `tasks.tsv` of `folder`. Raises DefinitionsUnreadable."""
    return _tasks(folder / "tasks.tsv")


def render(tasks: Tasks, cited: Iterable[int]) -> str:
    """The content of `onet.tsv`: the cited tasks in the order of their ids. Raises KeyError for a task that is not in `tasks`."""
    rows = ["\t".join((str(task), *tasks[task])) for task in sorted(set(cited))]
    return CREDIT + "".join(f"{row}\n" for row in ("\t".join(_COLUMNS), *rows))


def _tasks(path: Path) -> Tasks:
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        header = lines[0].split("\t")
        places = [header.index(column) for column in _COLUMNS]
        rows = ([line.split("\t")[place] for place in places] for line in lines[1:])
        return {int(task): (occupation, statement) for task, occupation, statement in rows}
    except OSError as error:
        raise DefinitionsUnreadable(f"The O*NET tasks in '{path}' cannot be read: {error.strerror}; name a folder that has them") from error
    except (ValueError, IndexError) as error:
        advice = f"it must have tab-separated columns named {', '.join(_COLUMNS)}"
        raise DefinitionsUnreadable(f"The O*NET tasks in '{path}' cannot be read: {error}; {advice}") from error
