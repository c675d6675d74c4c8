"""Builds the file system of the image: `python -m deploy.images build FOLDER`. As root, on Debian 12 with Python 3.11.

    FOLDER/debian       the layer of Debian packages
    FOLDER/packages     the Python packages
    FOLDER/application  this repository, the bill of materials and the licence texts

`lock` writes debian.lock again with the newest versions of the archive; `listing FOLDER` prints every path with its mode and hash.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.images.application import build_application
from deploy.images.contents import write_contents
from deploy.images.debian import build_debian, write_lock
from deploy.images.packages import build_packages
from deploy.images.tree import digest, listing, make_uniform
from deploy.local.errors import LaunchError

LAYERS = ("debian", "packages", "application")


def build(folder: Path, python: Path) -> None:
    """Makes the three layers; earlier ones are deleted. Raises LaunchError if one cannot be made."""
    debian, wheels, application = (folder / name for name in LAYERS)
    for layer in (debian, wheels, application):
        shutil.rmtree(layer, ignore_errors=True)
        layer.mkdir(parents=True)
    build_debian(debian, python)
    build_packages(wheels, python)
    build_application(application, python)
    write_contents(application, debian, wheels)
    for layer in (debian, wheels, application):
        make_uniform(layer)
        print(f"{layer.name:12} {len(listing(layer)):6} paths  sha256 {digest(layer)}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code; an error is one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m deploy.images", description="Builds the file system of the image.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="make the layers").add_argument("folder", type=Path)
    commands.add_parser("listing", help="print what a folder contains").add_argument("folder", type=Path)
    commands.add_parser("lock", help="write debian.lock with the newest versions")
    options = parser.parse_args(arguments)
    try:
        if options.command == "build":
            build(options.folder.absolute(), Path(sys.executable))
        elif options.command == "lock":
            write_lock()
        else:
            print("\n".join(f"{what:70} {path}" for path, what in listing(options.folder).items()))
    except LaunchError as error:
        print(f"agentmesh: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
