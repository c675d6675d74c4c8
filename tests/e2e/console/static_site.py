"""A plain web server for a console that is built for another origin."""

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class _Console(SimpleHTTPRequestHandler):
    """The assets of a build, and its document for every other path."""

    def translate_path(self, path: str) -> str:
        folder, name = Path(self.directory), path.partition("?")[0]
        return str(folder / "identity" / name.lstrip("/") if name.startswith("/assets/") else folder / "index.html")

    def log_message(self, *_: Any) -> None:
        """Requests are not logged."""


@contextlib.contextmanager
def static_site(build: Path, port: int) -> Iterator[str]:
    """Serves a build at that port of this machine; yields its origin."""
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Console, directory=str(build)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
