"""Publishes a build of the console into the folder that the gateway serves."""

import html
import os
import shutil
from pathlib import Path

from mesh.clock import SYSTEM_CLOCK

ENCODINGS = ("identity", "gzip", "br")
OLD_SECONDS = 24 * 3600
NOTICE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <meta http-equiv="refresh" content="2">
    <title>AgentMesh</title>
  </head>
  <body>
    <h1>AgentMesh</h1>
    <p>{text}</p>
    <p>The API is ready. This page reloads by itself.</p>
  </body>
</html>
"""


def publish(build: Path, served: Path) -> None:
    """Publishes a build: first its assets, then the document that names them.

    Assets of earlier builds stay for a day after they were last published, for pages that are still open.
    """
    now = SYSTEM_CLOCK.time()
    for encoding in ENCODINGS:
        folder = served / encoding / "assets"
        folder.mkdir(parents=True, exist_ok=True)
        for asset in (build / encoding / "assets").iterdir():
            if not (folder / asset.name).exists():
                _put(folder / asset.name, asset.read_bytes())
            os.utime(folder / asset.name, (now, now))
        for asset in folder.iterdir():
            if now - asset.stat().st_mtime > OLD_SECONDS:
                asset.unlink()
    _put(served / "index.html", (build / "index.html").read_bytes())


def announce(text: str, served: Path) -> None:
    """Shows a page with that text in place of the console, until one is published."""
    served.mkdir(parents=True, exist_ok=True)
    _put(served / "index.html", NOTICE.format(text=html.escape(text)).encode())


def is_published(served: Path) -> bool:
    """Whether a console has been published there."""
    return any((served / "identity" / "assets").glob("*.js"))


def withdraw(served: Path) -> None:
    """Removes what was published."""
    shutil.rmtree(served, ignore_errors=True)


def _put(path: Path, content: bytes) -> None:
    """Writes a file that nobody ever sees half written, and only its owner reads."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.replace(path)
