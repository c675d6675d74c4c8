"""`make gen`: everything that is generated from the contracts. It needs no network once the plugin for TypeScript is installed.

`python -m protos.codegen` writes gen/python, gen/ts, gen/descriptor.binpb, gen/openapi.json and docs/errors.md;
`python -m protos.codegen --check` writes nothing and exits with 1 if a generated file is out of date.
Both reject contracts with rpcs that REST clients cannot reach unambiguously (see checks.py).
"""

import argparse
import sys
import tempfile
from pathlib import Path

from protos.codegen.artifacts import BufFailed, drift, install, render
from protos.codegen.contracts import ContractError

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Generates or checks; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m protos.codegen", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a generated file is not up to date")
    check = parser.parse_args(arguments).check
    with tempfile.TemporaryDirectory() as folder:
        try:
            render(root, Path(folder))
        except (BufFailed, ContractError) as error:
            sys.stderr.write(f"{error}\n")
            return 1
        return _check(root, Path(folder)) if check else _generate(root, Path(folder))


def _generate(root: Path, rendered: Path) -> int:
    changed = install(root, rendered)
    sys.stdout.write("".join(f"wrote {path}\n" for path in changed) or "everything generated is up to date\n")
    return 0


def _check(root: Path, rendered: Path) -> int:
    found = drift(root, rendered)
    for difference in found:
        sys.stderr.write(f"{difference.path}: {difference.summary}\n")
    if found:
        sys.stderr.write("generated files are out of date; run `make gen` and commit the result\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
