"""Checks of the definitions and of the models that they name."""

import os
from collections.abc import Iterator
from pathlib import Path

from gateway.cli.local.finding import Finding, good, problem, warning
from mesh.clock import SYSTEM_CLOCK


def definitions() -> Iterator[Finding]:
    """Every file can be served; no agent names a retired model, or one without a price; no stated fact is out of date."""
    from catalogue.errors import DefinitionsUnreadable
    from catalogue.files.reader import read
    from catalogue.lint.linter import lint
    from catalogue.onet import load_tasks
    from catalogue.pricing.prices import PriceBook
    from mesh.settings import DEFINITIONS

    folder = Path(os.environ.get("DEFINITIONS_PATH") or DEFINITIONS)
    today = SYSTEM_CLOCK.now().date()
    try:
        catalogue, book = read(folder), PriceBook.load()
    except DefinitionsUnreadable as error:
        yield problem("definitions", str(error), "correct the file")
        return
    report = lint(catalogue, load_tasks(), book, today, strict=False)
    for each in (*catalogue.problems, *report.problems):
        yield problem("definitions", str(each), "correct the file")
    for each in report.warnings:
        yield warning("definitions", str(each).replace("warning: ", ""), "correct the file when it suits you")
    yield good("definitions", f"{len(catalogue)} agents in {len(catalogue.files)} files of {folder}")
    table = book.table(today)
    named = {agent.model for agent in catalogue.agents if agent.model}
    for model in sorted(named):
        current = book.successor(model)
        if not table.knows(current):
            yield problem("models", f"'{current}' has no price in the table of {table.version}", "add it to definitions/models.yaml")
    default = os.environ.get("MODEL_DEFAULT", "")
    if default and book.successor(default) != default:
        yield problem("models", f"MODEL_DEFAULT={default} is retired", f"set it to {book.successor(default)}")
    yield good("models", f"{len(named)} models named, prices of {table.version}, {len(book.successors)} retired models have successors")
