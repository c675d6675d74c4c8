"""Builds the packages of the client: `python -m deploy.clients`, or `make clients`, writes them into dist/.

Two builds of one commit make the same files. The version is that of the platform.
"""

import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON_SOURCES = ROOT / "gateway/clients/python"
_NO_VERSION = 'version = "0"\n'


def platform_version() -> str:
    """The version of the platform, from the root pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def build_python(target: Path) -> None:
    """Writes the wheel and the source distribution of the Python client into `target`. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder, "python")
        shutil.copytree(PYTHON_SOURCES, sources, ignore=shutil.ignore_patterns("__pycache__"))
        project = sources / "pyproject.toml"
        project.write_text(project.read_text().replace(_NO_VERSION, f'version = "{platform_version()}"\n', 1))
        subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(target.resolve())], cwd=sources, check=True)


if __name__ == "__main__":
    (ROOT / "dist").mkdir(exist_ok=True)
    build_python(ROOT / "dist")
