"""Everything that commands print: tables on a terminal, plain lines when piped, JSON, YAML, CSV.

Results go to standard output; progress, hints and errors go to standard error.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from gateway.cli.errors import CliError
from gateway.cli.exits import Exit
from gateway.cli.words import one_line

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console

WIDE = 100
"""Terminals with fewer columns leave out the columns that are marked `wide`."""
_STATE_STYLES = {
    "completed": "green",
    "serving": "green",
    "approved": "green",
    "running": "cyan",
    "failed": "red",
    "rejected": "red",
    "cancelled": "yellow",
    "cancelling": "yellow",
    "waiting approval": "magenta",
    "outcome unknown": "yellow",
}


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


@dataclass(frozen=True)
class Column:
    """A column of a list: its title, and the cell for an item."""

    title: str
    cell: Callable[[Any], Any]
    wide: bool = False
    """Left out on narrow terminals; never when piped."""
    grows: bool = False
    """Takes the space that is left, and is cut where there is none. Other columns are never cut."""
    right: bool = False
    below: bool = False
    """On a terminal, whole lines below the row instead of a column."""


@dataclass(frozen=True)
class Printer:
    """Prints the results of one command in one format."""

    format: Format
    terminal: bool = field(default_factory=lambda: sys.stdout.isatty())

    def items(self, message: "Message", rows: Iterable[Any], columns: Sequence[Column], nothing: str) -> None:
        """A list: a table, tab-separated lines when piped, or `message` as a document. `nothing` is said if there are no rows."""
        rows = list(rows)
        if self.format in (Format.JSON, Format.YAML):
            self.document(message)
        elif self.format is Format.CSV:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow([column.title for column in columns])
            writer.writerows([_csv_safe(column.cell(row)) for column in columns] for row in rows)
        elif not rows:
            hint(nothing)
        elif self.terminal and any(column.below for column in columns):
            _blocks(rows, columns)
        elif self.terminal:
            self._table(rows, columns)
        else:
            for row in rows:
                typer.echo("\t".join(one_line(str(column.cell(row))) for column in columns))

    def fields(self, message: "Message", pairs: Iterable[tuple[str, Any]]) -> None:
        """One object: a line for each field that has a value, or `message` as a document."""
        if self.documents:
            self.document(message)
        else:
            self.pairs(pairs)

    def pairs(self, pairs: Iterable[tuple[str, Any]]) -> None:
        """A line for each pair that has a value."""
        shown = [(name, str(value)) for name, value in pairs if value not in ("", None)]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            if self.terminal:
                _field(name, width, value)
            else:
                typer.echo(f"{name}\t{one_line(value)}")

    def text(self, message: "Message", text: str) -> None:
        """A text, rendered as Markdown on a terminal; or `message` as a document."""
        if self.documents:
            self.document(message)
        elif self.terminal:
            from rich.markdown import Markdown

            console().print(Markdown(text))
        else:
            typer.echo(text)

    def document(self, message: "Message | dict[str, Any]") -> None:
        """The whole object with the field names of the REST API: one JSON or YAML document."""
        plain = message if isinstance(message, dict) else plain_of(message)
        if self.format is Format.YAML:
            import yaml

            typer.echo(yaml.dump(plain, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=120), nl=False)
        else:
            typer.echo(json.dumps(plain, indent=2 if self.terminal else None, ensure_ascii=False))

    def event(self, message: "Message", line: Callable[[], str]) -> None:
        """One message of a stream: a line of text, a line of JSON, or a YAML document that begins with `---`."""
        if self.format is Format.YAML:
            typer.echo("---")
            self.document(message)
        elif self.documents:
            typer.echo(json.dumps(plain_of(message), ensure_ascii=False))
        elif text := line():
            typer.echo(text)
        sys.stdout.flush()

    @property
    def documents(self) -> bool:
        """Whether the format is for programs. A command without columns has no CSV, and prints JSON instead."""
        return self.format is not Format.TABLE

    def _table(self, rows: Sequence[Any], columns: Sequence[Column]) -> None:
        from rich.table import Table
        from rich.text import Text

        out = console()
        fitting = [column for column in columns if out.width >= WIDE or not column.wide]
        shown = [column for column in fitting if any(str(column.cell(row)) for row in rows)]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for column in shown:
            grow = {"ratio": 1, "no_wrap": True, "overflow": "ellipsis"} if column.grows else {"overflow": "fold"}
            table.add_column(column.title.upper(), justify="right" if column.right else "left", **grow)
        for row in rows:
            cells = [one_line(str(column.cell(row))) for column in shown]
            table.add_row(*(Text(cell, style=_STATE_STYLES.get(cell, "")) for cell in cells))
        table.expand = any(column.grows for column in shown)
        out.print(table)


def plain_of(message: "Message") -> dict[str, Any]:
    """A message as the REST API prints it: its field names, default values included."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def console(*, errors: bool = False) -> "Console":
    """The terminal. Without a terminal nothing is coloured or wrapped."""
    from rich.console import Console

    return Console(stderr=errors, highlight=False, soft_wrap=False)


def hint(text: str) -> None:
    """A line for the person at the terminal, on standard error."""
    typer.echo(text, err=True)


def report(error: CliError, format_: Format) -> Exit:
    """Prints an error on standard error; returns the exit code."""
    if format_ in (Format.JSON, Format.YAML):
        typer.echo(json.dumps(error.document(), ensure_ascii=False), err=True)
    else:
        first, *others = error.lines()
        prefix = typer.style("agentmesh:", fg=typer.colors.RED, bold=True)
        typer.echo(f"{prefix} {first}", err=True)
        for line in others:
            typer.echo(line, err=True)
    return error.code


def state_style(state: str) -> str:
    """The colour of a state."""
    return _STATE_STYLES.get(state, "")


def _blocks(rows: Sequence[Any], columns: Sequence[Column]) -> None:
    """Each row as a line, with the columns `below` wrapped under it."""
    from rich.padding import Padding
    from rich.text import Text

    out = console()
    for row in rows:
        first, *others = [one_line(str(column.cell(row))) for column in columns if not column.below]
        out.print(Text.assemble((first, "bold"), "  ", "  ".join(others)))
        for column in columns:
            if column.below:
                out.print(Padding(Text(one_line(str(column.cell(row)))), (0, 0, 0, 2)))


def _field(name: str, width: int, value: str) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=width, no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(name, style="bold"), Text(value, style=_STATE_STYLES.get(value, "")))
    console().print(table)


def _csv_safe(cell: Any) -> Any:
    """A text that a spreadsheet would run as a formula begins with an apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
