"""The package of the Python client: reproducible, with the platform's version, complete, and with examples that run."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deploy.clients import PYTHON_SOURCES, build_python, platform_version

PROGRAMS = Path(__file__).parents[2] / "e2e/clients/programs"


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_two_builds_make_the_same_files_and_the_wheel_works_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        build_python(folder)
    version = platform_version()
    assert _hashes(first) == _hashes(second)
    assert set(_hashes(first)) == {f"agentmesh_client-{version}-py3-none-any.whl", f"agentmesh_client-{version}.tar.gz"}
    installed = tmp_path / "installed"
    with zipfile.ZipFile(first / f"agentmesh_client-{version}-py3-none-any.whl") as wheel:
        assert "agentmesh_client/py.typed" in wheel.namelist()
        wheel.extractall(installed)
    # Without -S, the source tree would be found, too.
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    program = (
        f"import sys; sys.path[:0] = [{str(installed)!r}, {packages!r}]; import agentmesh_client as c; print(c.__file__, c.__version__)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(installed / "agentmesh_client/__init__.py"), version]


@pytest.mark.parametrize("program", ["python_client.py", "python_client_async.py"])
def test_the_examples_of_the_readme_are_programs_that_are_tested(program: str) -> None:
    assert f"```python\n{(PROGRAMS / program).read_text()}```" in (PYTHON_SOURCES / "README.md").read_text()
