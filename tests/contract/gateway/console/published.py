"""A small console in the layout that the gateway serves."""

import gzip
from collections.abc import Callable
from pathlib import Path

from gateway.envoy.console import NONCE_PLACEHOLDER

SCRIPT, STYLE = "index-C0nt3nt_.js", "index-DfUe-9x1.css"
CONTENT = {SCRIPT: b"export const answer = 42;\n" * 200, STYLE: b"body { color: black }\n" * 200}
COMPRESSED: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "br": lambda content: b"br:" + content[:20]}
"""How the test marks a file as compressed. No client here decodes Brotli, so that these bytes need not be it."""


def made_up_console(folder: Path, title: str = "AgentMesh") -> Path:
    """Writes the console and returns its folder."""
    for encoding, compress in {"identity": lambda content: content, **COMPRESSED}.items():
        assets = folder / encoding / "assets"
        assets.mkdir(parents=True, exist_ok=True)
        for name, content in CONTENT.items():
            (assets / name).write_bytes(compress(content))
    put_document(folder, title)
    return folder


def put_document(folder: Path, title: str) -> None:
    """Replaces the document."""
    draft = folder / "index.html.draft"
    draft.write_text(
        f'<!doctype html>\n<meta property="csp-nonce" nonce="{NONCE_PLACEHOLDER}">\n<title>{title}</title>\n'
        f'<link rel="stylesheet" href="/assets/{STYLE}">\n'
        f'<script type="module" src="/assets/{SCRIPT}" nonce="{NONCE_PLACEHOLDER}"></script>\n'
    )
    draft.replace(folder / "index.html")
