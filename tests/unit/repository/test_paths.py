"""Every file and folder that a document names exists, and every file that a comment names."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[3]


def tracked() -> frozenset[str]:
    """The files of the repository; in an export without git, all files outside of hidden folders."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        return frozenset(listed.stdout.splitlines())
    files = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return frozenset(str(path) for path in files if path.parts[0] in (".ci", ".github") or not path.parts[0].startswith("."))


FILES = tracked()
FOLDERS = frozenset(str(folder) for file in FILES for folder in PurePosixPath(file).parents)
NAMES = frozenset(PurePosixPath(file).name for file in FILES)
DOCUMENTS = sorted(file for file in FILES if file.endswith(".md") and "third_party" not in file and file != "CHANGELOG.md")
TOP = "|".join(sorted(folder for folder in FOLDERS if "/" not in folder and folder != "."))
SUFFIX = "py|md|lua|proto|yaml|rego|json|j2|toml|lock"
MADE = (".agentmesh/", ".venv/", "FOLDER/", "~/", "gateway/console/screenshots/", "gateway/console/test-results/")
"""Paths that exist only after a command, and placeholders."""
QUOTED = re.compile(r"`([^`\n]+)`|\]\(([^)#\s]+)")
IN_COMMENT = re.compile(rf"(?<![\w./-])((?:{TOP})/[\w./-]*\.(?:{SUFFIX}))(?![\w-])")


def exists(name: str, beside: str) -> bool:
    """Whether a path leads to something tracked, from the root or from the folder of the document."""
    here = (ROOT / beside).parent / name
    found = {name.rstrip("/"), str(here.resolve().relative_to(ROOT)) if here.resolve().is_relative_to(ROOT) else ""}
    return bool(found & (FILES | FOLDERS))


def missing_in(document: str, text: str) -> Iterator[str]:
    for quoted, link in QUOTED.findall(text):
        name = quoted or link
        if name.startswith(("/", "text/", *MADE)) or re.search(r"[ <>{}*…:=(\[]", name):
            continue  # a route, a media type, a command, a pattern, code
        bare_file = re.fullmatch(rf"[\w.-]+\.(?:{SUFFIX})", name) and not name.startswith(".")
        if (("/" in name or link) and not exists(name, document)) or (quoted and "/" not in name and bare_file and name not in NAMES):
            yield name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_in_a_document_exists(document: str) -> None:
    assert [*missing_in(document, (ROOT / document).read_text())] == []


def test_every_file_that_code_names_exists() -> None:
    made_up = ("tests/unit/repository/test_paths.py", "tests/unit/codegen/test_artifacts.py")
    code = [file for file in FILES if file.endswith((".py", ".lua", ".proto", ".j2", ".toml")) and file not in made_up]
    own = [file for file in code if not file.startswith(("gen/", "protos/third_party/"))]
    found = [(file, name) for file in own for name in IN_COMMENT.findall((ROOT / file).read_text())]
    assert [f"{file}: {name}" for file, name in found if name not in FILES] == []


@pytest.mark.parametrize("text", ["`mesh/gone.py`", "see [it](gone.md)", "`gone.py`", "`orchestrator/gone/`"])
def test_a_missing_path_is_found(text: str) -> None:
    assert [*missing_in("docs/README.md", text)]
