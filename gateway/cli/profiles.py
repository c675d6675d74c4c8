"""Profiles: the servers that a user has logged in to, and the credentials for them.

$XDG_CONFIG_HOME/agentmesh/     ~/.config/agentmesh by default; only its owner can read it
    current                     the name of the profile in use
    profiles/NAME.json          server, user name, and either tokens or an API key
    profiles/NAME.lock          held while a process replaces the tokens
"""

import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from gateway.cli.errors import CliError
from gateway.cli.exits import Exit
from mesh.clock import SYSTEM_CLOCK

DEFAULT = "default"
LOCAL_SERVER = "http://localhost:8000"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Profile:
    """A server and the credential for it; tokens and API key are empty after a logout."""

    name: str
    server: str = LOCAL_SERVER
    ca_file: str = ""
    """The authority that issued the server's certificate, if it is not one that the system trusts."""
    username: str = ""
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_at: float = 0
    """When the access token expires, in seconds since the epoch."""
    api_key: str = field(default="", repr=False)

    @property
    def logged_in(self) -> bool:
        """Whether there is a credential."""
        return bool(self.access_token or self.api_key)

    def with_tokens(self, access_token: str, refresh_token: str, expires_in: int) -> "Profile":
        """The profile with new tokens instead of any credential that it had."""
        expires_at = SYSTEM_CLOCK.time() + expires_in
        return replace(self, access_token=access_token, refresh_token=refresh_token, expires_at=expires_at, api_key="")

    def without_credentials(self) -> "Profile":
        """The profile after a logout."""
        return replace(self, access_token="", refresh_token="", expires_at=0, api_key="")


class Profiles:
    """The profiles of one user. Several processes may use them at the same time. Raises CliError for files that cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Profiles":
        """The profiles in the place that the XDG specification names."""
        given = environment.get("XDG_CONFIG_HOME", "")
        base = Path(given) if Path(given).is_absolute() else Path.home() / ".config"
        return cls(base / "agentmesh")

    def current(self) -> str:
        """The name of the profile in use."""
        with suppress(OSError):
            return (self.folder / "current").read_text().strip() or DEFAULT
        return DEFAULT

    def use(self, name: str) -> None:
        """Makes a profile the one in use."""
        self._make_folders()
        _write_private(self.folder / "current", name + "\n")

    def names(self) -> Sequence[str]:
        """The names of all profiles."""
        return sorted(path.stem for path in (self.folder / "profiles").glob("*.json"))

    def load(self, name: str) -> Profile:
        """The profile of that name; an empty one, for the local stack, if it does not exist."""
        path = self._file(name)
        try:
            known = json.loads(path.read_text())
            return Profile(name, **{key: value for key, value in known.items() if key in _STORED})
        except FileNotFoundError:
            return Profile(name)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise CliError(f"cannot read the profile {path}: {error}", "delete the file and log in again") from None

    def save(self, profile: Profile) -> None:
        """Stores a profile; replaces the one of the same name at once, so that no other process reads half of it."""
        self._make_folders()
        stored = asdict(profile)
        del stored["name"]
        _write_private(self._file(profile.name), json.dumps(stored, indent=1) + "\n")

    def remove(self, name: str) -> None:
        """Deletes a profile."""
        self._file(name).unlink(missing_ok=True)
        self._file(name).with_suffix(".lock").unlink(missing_ok=True)

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Holds the lock of a profile, which ends with the process."""
        self._make_folders()
        descriptor = os.open(self._file(name).with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _file(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise CliError(f"invalid profile name '{name}'", "use letters, digits, '.', '_' and '-'", Exit.USAGE)
        return self.folder / "profiles" / f"{name}.json"

    def _make_folders(self) -> None:
        try:
            (self.folder / "profiles").mkdir(parents=True, exist_ok=True)
            for folder in (self.folder, self.folder / "profiles"):
                folder.chmod(0o700)
        except OSError as error:
            raise CliError(f"cannot write to {self.folder}: {error.strerror}", "set XDG_CONFIG_HOME to a folder that you own") from None


_STORED = frozenset(Profile.__dataclass_fields__) - {"name"}


def _write_private(path: Path, text: str) -> None:
    """Replaces a file with one that only its owner can read: mkstemp creates files of mode 600."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(temporary).replace(path)
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror}", "check the folder's owner and free space") from None
