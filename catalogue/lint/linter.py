"""Runs all checks of the lint on a catalogue."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain

from catalogue.catalogue import Catalogue, Problem
from catalogue.lint.bounds import out_of_bounds
from catalogue.lint.calls import refused_cases, refused_examples, repeated_queries
from catalogue.lint.completeness import incomplete
from catalogue.lint.due import due_facts
from catalogue.lint.findability import not_found
from catalogue.lint.phrases import generic_phrases
from catalogue.lint.references import broken_borders, repeated_names, unknown_tasks, unusable_models
from catalogue.lint.similarity import near_duplicates
from catalogue.lint.sources import SourceFile, sources_of
from catalogue.onet import Tasks
from catalogue.pricing.prices import PriceBook


@dataclass(frozen=True, slots=True)
class Report:
    """What the lint found in files that can be served."""

    problems: Sequence[Problem]
    warnings: Sequence[Problem]
    """They do not make the lint fail."""


def lint(catalogue: Catalogue, tasks: Tasks, book: PriceBook, today: date, *, strict: bool) -> Report:
    """Checks a catalogue that was read from files. With `strict`, also what only the shipped catalogue must satisfy."""
    sources = sources_of(catalogue)
    problems = [problem for source in sources for problem in _of_any_file(source, catalogue, tasks)]
    models = _each(unusable_models(source, book, today) for source in sources)
    warnings = [*_each(due_facts(source, today) for source in sources)]
    if strict:
        problems += [*_each(_of_shipped_file(source) for source in sources), *models, *repeated_names(sources)]
        problems += [*near_duplicates(sources), *not_found(sources)]
        warnings += generic_phrases(sources)
    else:
        warnings += models
    return Report(_in_order(problems, sources), [replace(each, message=f"warning: {each.message}") for each in warnings])


def _of_any_file(source: SourceFile, catalogue: Catalogue, tasks: Tasks) -> Iterator[Problem]:
    yield from unknown_tasks(source, tasks)
    yield from broken_borders(source, catalogue)
    yield from refused_cases(source)


def _of_shipped_file(source: SourceFile) -> Iterator[Problem]:
    yield from incomplete(source)
    yield from out_of_bounds(source)
    yield from refused_examples(source)
    yield from repeated_queries(source)


def _each(found: Iterable[Iterable[Problem]]) -> Iterator[Problem]:
    return chain.from_iterable(found)


def _in_order(problems: Sequence[Problem], sources: Sequence[SourceFile]) -> Sequence[Problem]:
    """By file, so that an author finds everything about a file in one place."""
    place = {source.path: index for index, source in enumerate(sources)}
    return sorted(problems, key=lambda problem: place[problem.source])
