"""The layer of Debian packages: the C libraries, Python and the certificate authorities, without a shell or a package manager.

`debian.lock` names each package with its version, architecture and hash. `python -m deploy.images lock` writes it again with the newest
versions of the builder's archive. The base is Debian 12, because its Python is 3.11.
"""

import hashlib
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.images.tree import compile_bytecode, run, write
from deploy.local.errors import LaunchError

LOCK = Path(__file__).with_name("debian.lock")
NAMES = (
    *("base-files", "ca-certificates", "gcc-12-base", "libbz2-1.0", "libc6", "libexpat1", "libffi8", "libgcc-s1", "liblzma5"),
    *("libpython3.11-minimal", "libpython3.11-stdlib", "libssl3", "libstdc++6", "libuuid1", "media-types", "python3.11-minimal", "zlib1g"),
)
UID = 65_532
"""The user and the group of every process."""
KEPT = (
    "usr/lib/",
    "usr/lib64/",
    "usr/bin/python3.11",
    "usr/share/common-licenses/",
    "usr/share/ca-certificates/",
    "etc/mime.types",
    "etc/os-release",
)
LEFT_OUT = (
    *("usr/lib/x86_64-linux-gnu/gconv/", "usr/lib/x86_64-linux-gnu/audit/", "usr/lib/valgrind/", "usr/lib/python3.11/lib2to3/"),
    *("usr/lib/python3.11/pydoc_data/", "usr/lib/python3.11/turtle", "usr/lib/python3.11/tkinter/", "usr/lib/binfmt.d", "usr/lib/mime/"),
)
NEEDS_ABSENT = ("_crypt", "_curses", "_curses_panel", "_dbm", "nis", "ossaudiodev", "readline", "_sqlite3")
"""Modules of the standard library whose C libraries the image does not have, because no process uses them."""
USR_MERGED = ("lib", "lib64")
FILES = {
    "etc/passwd": f"root:x:0:0:root:/root:/usr/sbin/nologin\nnonroot:x:{UID}:{UID}:nonroot:/tmp:/usr/sbin/nologin\n",
    "etc/group": f"root:x:0:\nnonroot:x:{UID}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class DebianPackage:
    """One line of the lock."""

    name: str
    version: str
    architecture: str
    sha256: str


def locked() -> Sequence[DebianPackage]:
    """The packages of the lock."""
    lines = (line.split() for line in LOCK.read_text().splitlines() if line and not line.startswith("#"))
    return [DebianPackage(*words) for words in lines]


def build_debian(root: Path, python: Path) -> None:
    """Makes the layer. Raises LaunchError if the archive no longer has a package of the lock, or has a different one."""
    with tempfile.TemporaryDirectory() as folder:
        for package, archive in _fetch(Path(folder)):
            _extract(archive, root)
            write(root / "var/lib/dpkg/status.d" / package.name, run("dpkg-deb", "--field", archive))  # scanners read it
    for name in USR_MERGED:
        (root / name).symlink_to(f"usr/{name}")
    for path, text in FILES.items():
        write(root / path, text)
    _trust(root)
    for folder_of_system in ("dev", "proc", "sys", "tmp"):
        (root / folder_of_system).mkdir()
    compile_bytecode(python, root, "usr/lib/python3.11")


def write_lock() -> None:
    """Writes the lock with the newest versions of the archive."""
    with tempfile.TemporaryDirectory() as folder:
        run("apt-get", "download", *NAMES, folder=Path(folder))
        lines = []
        for archive in sorted(Path(folder).glob("*.deb")):
            words = run("dpkg-deb", "--show", "--showformat", "${Package} ${Version} ${Architecture}", archive)
            lines.append(f"{words} {hashlib.sha256(archive.read_bytes()).hexdigest()}\n")
    LOCK.write_text("# name version architecture sha256\n" + "".join(lines))


def _fetch(folder: Path) -> Iterator[tuple[DebianPackage, Path]]:
    packages = locked()
    try:
        run("apt-get", "download", *(f"{package.name}={package.version}" for package in packages), folder=folder)
    except LaunchError as error:
        raise LaunchError(
            "the archive lacks versions of debian.lock, which security updates have replaced: run `python -m deploy.images lock`, or build "
            f"from a snapshot of the archive ({error})"
        ) from None
    for package in packages:
        archive = next(folder.glob(f"{package.name}_*.deb"))
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != package.sha256:
            raise LaunchError(f"{archive.name} has the hash {found}, and debian.lock expects {package.sha256}: do not use this archive")
        yield package, archive


def _extract(archive: Path, root: Path) -> None:
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as unpacking,
        tarfile.open(fileobj=unpacking.stdout, mode="r|") as members,
    ):
        for member, path in _wanted(members):
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if member.issym():
                target.symlink_to(member.linkname)
            elif member.isfile() and (content := members.extractfile(member)) is not None:
                target.write_bytes(content.read())
                target.chmod(member.mode)
            elif member.islnk():
                os.link(root / _merged(member.linkname), target)


def _wanted(members: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str]]:
    for member in members:
        path = _merged(member.name)
        is_licence = path.startswith("usr/share/doc/") and (path.endswith("/copyright") or member.issym())
        module = path.removeprefix("usr/lib/python3.11/lib-dynload/").partition(".")[0]
        if not member.isdir() and (is_licence or (path.startswith(KEPT) and not path.startswith(LEFT_OUT))) and module not in NEEDS_ABSENT:
            yield member, path


def _merged(name: str) -> str:
    """The path of a member, with /lib inside /usr as on an installed system."""
    path = name.removeprefix("./")
    return f"usr/{path}" if path.startswith(("lib/", "lib64/")) else path


def _trust(root: Path) -> None:
    """One file with all authorities, where OpenSSL looks for them."""
    authorities = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    write(root / AUTHORITIES, "".join(path.read_text().rstrip() + "\n" for path in authorities))
    (root / "usr/lib/ssl").mkdir(exist_ok=True)
    (root / "usr/lib/ssl/cert.pem").symlink_to(f"/{AUTHORITIES}")
    (root / "usr/lib/ssl/certs").symlink_to("/etc/ssl/certs")
