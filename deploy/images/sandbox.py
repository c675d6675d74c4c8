"""Runs a command as a container does: an unprivileged user, a read-only root, no new privileges; in the network of this machine.

    python -m deploy.images.sandbox --layer FOLDER … --bind FOLDER … -- COMMAND …

The layers become the root (a path in several layers is taken from the last one, except for folders, which are merged), /tmp is empty, and
the folders of `--bind` are writable at their own paths. It replaces this process and needs user namespaces instead of a container daemon.
"""

import argparse
import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.images.debian import UID
from deploy.local.errors import LaunchError

NEW_NAMESPACES = 0x10000000 | 0x00020000  # CLONE_NEWUSER, CLONE_NEWNS
READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 32, 4096, 16384, 1 << 18
NO_NEW_PRIVILEGES = 38
_libc = ctypes.CDLL(None, use_errno=True)


def enter(layers: Sequence[Path], writable: Sequence[Path], visible: Sequence[Path] = ()) -> None:
    """Makes the layers the root of this process. `visible` folders are read-only at their own paths. Raises LaunchError if forbidden."""
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(NEW_NAMESPACES) != 0:
        raise LaunchError(f"this machine allows no user namespaces ({os.strerror(ctypes.get_errno())}): the sandbox needs them")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{UID} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{UID} {group} 1")
    _mount("none", "/", PRIVATE | RECURSIVE)
    root = layers[0] / "tmp"  # only this process sees what is mounted there
    root.mkdir(exist_ok=True)
    _mount("tmpfs", root, 0, "tmpfs")
    _merge(layers, root)
    for system in (Path("/dev"), Path("/proc")):
        _bind(system, root / system.relative_to("/"), read_only=False)
    (root / "tmp").mkdir(exist_ok=True)
    _mount("tmpfs", root / "tmp", 0, "tmpfs")
    for folder in visible:  # after /tmp, which would hide those inside it
        _bind(folder, root / folder.relative_to("/"), read_only=True)
    for folder in writable:
        _bind(folder, root / folder.relative_to("/"), read_only=False)
    _mount("none", root, REMOUNT | READ_ONLY, "tmpfs")
    os.chroot(root)
    os.chdir("/")
    _libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def _merge(layers: Sequence[Path], root: Path, inside: str = "") -> None:
    """Mounts what only one layer has, and descends into the folders that several have."""
    having: dict[str, list[Path]] = {}
    for layer in layers:
        for entry in sorted((layer / inside).iterdir()):
            if (inside, entry.name) not in (("", "tmp"), ("", "dev"), ("", "proc"), ("", "sys")):
                having.setdefault(entry.name, []).append(layer)
    for name, owners in having.items():
        path, source = root / inside / name, owners[-1] / inside / name
        if source.is_symlink():
            path.symlink_to(os.readlink(source))
        elif source.is_dir() and len(owners) > 1:
            path.mkdir()
            _merge(owners, root, f"{inside}{name}/")
        else:
            _bind(source, path, read_only=True)


def _bind(source: Path, target: Path, *, read_only: bool) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.touch()
    _mount(str(source), target, BIND | RECURSIVE)
    if read_only:
        # A namespace of users may not drop the flags that the file system was mounted with.
        kept = os.statvfs(target).f_flag & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME | os.ST_RELATIME)
        _mount("none", target, REMOUNT | BIND | READ_ONLY | _mount_flags(kept))


def _mount_flags(found: int) -> int:
    """The flags of mount(2) for those of statvfs(3), which have other numbers."""
    numbers = {os.ST_NOSUID: 2, os.ST_NODEV: 4, os.ST_NOEXEC: 8, os.ST_NOATIME: 1024, os.ST_NODIRATIME: 2048, os.ST_RELATIME: 1 << 21}
    return sum(flag for known, flag in numbers.items() if found & known)


def _mount(source: str | Path, target: str | Path, flags: int, kind: str = "") -> None:
    if _libc.mount(os.fsencode(source), os.fsencode(target), os.fsencode(kind) or None, flags, None) != 0:
        raise LaunchError(f"cannot mount {source} on {target}: {os.strerror(ctypes.get_errno())}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns only if the command cannot be started."""
    parser = argparse.ArgumentParser(prog="python -m deploy.images.sandbox", description="Runs a command with a read-only root.")
    parser.add_argument("--layer", type=Path, action="append", required=True, help="a layer of the root; repeatable")
    parser.add_argument("--bind", type=Path, action="append", default=[], help="a folder that is writable at its own path; repeatable")
    parser.add_argument("--visible", type=Path, action="append", default=[], help="a folder that can be read at its own path; repeatable")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    try:
        enter(options.layer, options.bind, options.visible)
        os.execvp(options.command[0], options.command)
    except (LaunchError, OSError) as error:
        print(f"sandbox: {error}", file=sys.stderr, flush=True)
    return 125


if __name__ == "__main__":
    sys.exit(main())
