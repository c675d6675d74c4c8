"""`python -m catalogue lint [PATH]` and `python -m catalogue generate COUNT DIR`."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from catalogue.catalogue import Catalogue
from catalogue.errors import DefinitionsUnreadable
from catalogue.files.reader import read
from catalogue.pricing.prices import PriceBook
from catalogue.synthetic import generate

SHIPPED = Path(__file__).resolve().parents[1] / "definitions"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code is 0 when all is well, 1 when there are problems, 2 when the command cannot be run."""
    options = _parser().parse_args(arguments)
    try:
        return _lint(options.path) if options.command == "lint" else _generate(options.count, options.folder)
    except (DefinitionsUnreadable, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _lint(path: Path) -> int:
    """Prints each problem and each warning, then the sum of all. Only problems make it fail."""
    catalogue = read(path)
    for line in (*map(str, catalogue.problems), *_warnings(catalogue)):
        _say(line)
    _say(f"{len(catalogue)} agents in {len(catalogue.files)} files, {len(catalogue.problems)} problems")
    return 1 if catalogue.problems else 0


def _warnings(catalogue: Catalogue) -> Iterator[str]:
    """Models that are retired or without a price, once per file: a new model may be used before the price table knows it."""
    book = PriceBook.load()
    table = book.table(datetime.now(UTC).date())
    for source, model in sorted({(agent.source, agent.model) for agent in catalogue.agents if agent.model}):
        successor = book.successor(model)
        if successor != model:
            yield f"{source}: warning: the model '{model}' is retired; '{successor}' answers in its place"
        elif not table.knows(model):
            yield f"{source}: warning: models.yaml has no price for the model '{model}'; its calls are booked like the dearest model's"


def _generate(count: int, folder: Path) -> int:
    if folder.exists() and any(folder.iterdir()):
        sys.stderr.write(f"'{folder}' is not empty; name a new folder\n")
        return 2
    files = generate(count, folder)
    _say(f"{count} agents in {files} files below {folder}")
    return 0


def _say(line: str) -> None:
    """Prints a line; what the terminal cannot show (a file's name need not be text) is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m catalogue", description="Works with agent definitions.")
    commands = parser.add_subparsers(dest="command", required=True)
    lint = commands.add_parser("lint", help="say what is wrong with the definitions below a folder")
    lint.add_argument("path", type=Path, nargs="?", default=SHIPPED, help="the folder (default: the shipped definitions)")
    made_up = commands.add_parser("generate", help="write made-up definitions of a realistic size, for tests and benchmarks")
    made_up.add_argument("count", type=_count, help="how many agents; their numbers are 1 to COUNT")
    made_up.add_argument("folder", type=Path, help="a new or empty folder")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


if __name__ == "__main__":
    sys.exit(main())
