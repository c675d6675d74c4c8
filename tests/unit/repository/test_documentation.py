"""The documentation refers only to pages, headings, make targets and modules that exist; for paths, see test_paths.py."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "tests/README.md", ROOT / "deploy/policy/README.md"],
    key=lambda page: page.as_posix(),
)
HISTORY = ROOT / "CHANGELOG.md"
"""Its entries may name what a later release has removed."""


def links(text: str) -> Iterator[tuple[str, str]]:
    """The relative path and the heading of each link to a file."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("https:", "http:")):
            path, _, heading = target.partition("#")
            yield path, heading


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub derives them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_an_existing_page_and_heading(page: Path) -> None:
    broken = []
    for path, heading in links(page.read_text()):
        target = (page.parent / path) if path else page
        if not target.exists() or (heading and heading not in headings(target)):
            broken.append(f"{path}#{heading}")
    assert not broken


def test_every_make_target_in_the_documentation_exists() -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {(target, page.name) for page in PAGES for target in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE)}
    assert {target for target, _ in named} >= {"up", "test", "gen"}
    assert not {(target, page) for target, page in named if target not in known}


def test_every_python_module_in_the_documentation_exists() -> None:
    pattern = re.compile(r"python -m ([a-z_]+(?:\.[a-z_]+)*)")
    named = {module for page in PAGES if page != HISTORY for module in pattern.findall(page.read_text())}
    assert {"catalogue", "orchestrator.processes.accounts"} <= named
    assert not {module for module in named if find_spec(module) is None}
