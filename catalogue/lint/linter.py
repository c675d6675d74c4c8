"""Runs all checks of the lint on a catalogue."""

from collections.abc import Iterator

from catalogue.catalogue import Catalogue, Problem
from catalogue.lint.completeness import incomplete
from catalogue.lint.sources import SourceFile, sources_of
from catalogue.onet import Tasks


def problems_of(catalogue: Catalogue, tasks: Tasks, *, strict: bool) -> Iterator[Problem]:
    """The problems of files that can be served. With `strict`, also what only the shipped catalogue must satisfy."""
    for source in sources_of(catalogue):
        yield from _unknown_tasks(source, tasks)
        if strict:
            yield from incomplete(source)


def _unknown_tasks(source: SourceFile, tasks: Tasks) -> Iterator[Problem]:
    for _, path, member in source.members():
        for index, task in enumerate(member.get("tasks", ())):
            if task not in tasks:
                message = f"is {task}, which is not in catalogue/onet.tsv; correct it, or run python -m catalogue onet --from FOLDER"
                yield source.problem((*path, "tasks", index), message)
