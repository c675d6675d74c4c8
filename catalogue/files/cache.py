"""Keeps valid documents between starts in a form that is read ten times faster than YAML.

An entry is named after the hash of the file's content, of the schema and of the code that parses and checks. So a changed file, schema or
check never meets an old entry, and deleting the folder only costs time.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson
import structlog
import yaml

from catalogue.files import family

log = structlog.get_logger()

MOST_ENTRIES = 2000
"""More entries are deleted, the oldest first, except those in use: each edit of a file leaves one."""
_CATALOGUE = Path(__file__).resolve().parents[1]
_CODE = ("files/*.py", "validation.py", "model.py")
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Entry(NamedTuple):
    """A valid document and the revisions of its agents, in its order."""

    document: Any
    revisions: Sequence[str]


class EntryFolder:
    """Entries in a private folder, which is created when it is needed. Several processes may share it.

    A problem with the folder or an entry is never an error: there is no entry then. A folder that other users may write to is not used,
    because they could replace prompts.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._usable: bool | None = None
        self._in_use: set[str] = set()
        self._added = False

    @classmethod
    def at(cls, folder: Path | None) -> Self | None:
        """The entries in a folder, whose path may begin with ~; None without a folder."""
        if folder is None:
            return None
        try:
            return cls(folder.expanduser())
        except RuntimeError as error:  # the user has no home
            log.warning("definitions_cache_unused", folder=str(folder), why=str(error))
            return None

    def load(self, name: str) -> bytes | None:
        """The content of an entry; None if there is none, or if it is damaged."""
        if not self._is_usable():
            return None
        try:
            digest, _, payload = (self._folder / name).read_bytes().partition(b"\n")
        except OSError:
            return None
        if digest != _digest(payload):
            return None
        self._in_use.add(name)
        return payload

    def store(self, name: str, payload: bytes) -> None:
        """Keeps an entry, if the folder can be written."""
        if not self._is_usable():
            return
        try:
            self._write(name, _digest(payload) + b"\n" + payload)
        except OSError as error:
            self._give_up(f"cannot be written: {error}")
        else:
            self._in_use.add(name)
            self._added = True

    def trim(self) -> None:
        """Deletes the oldest entries above MOST_ENTRIES if this object has added some. Entries that it found or added are kept."""
        if not self._added:
            return
        self._added = False
        with suppress(OSError):
            entries = [(entry.stat().st_mtime_ns, entry.path) for entry in os.scandir(self._folder) if entry.name not in self._in_use]
            for _, path in sorted(entries)[: max(0, len(entries) + len(self._in_use) - MOST_ENTRIES)]:
                with suppress(FileNotFoundError):  # deleted by another process
                    os.unlink(path)

    def _write(self, name: str, content: bytes) -> None:
        """In one step: other processes see the whole entry or none."""
        handle, draft = tempfile.mkstemp(dir=self._folder)
        try:
            with open(handle, "wb") as file:
                file.write(content)
            os.replace(draft, self._folder / name)
        except BaseException:
            os.unlink(draft)
            raise

    def _is_usable(self) -> bool:
        if self._usable is None:
            self._usable = True
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                status = self._folder.stat()
            except OSError as error:
                self._give_up(f"cannot be created: {error}")
            else:
                if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_MAY_WRITE:
                    self._give_up("other users may write to it; set DEFINITIONS_CACHE to a folder that belongs to this user alone")
        return self._usable

    def _give_up(self, why: str) -> None:
        self._usable = False
        log.warning("definitions_cache_unused", folder=str(self._folder), why=why)


class DocumentCache(EntryFolder):
    """Valid documents by the content of their files."""

    def find(self, content: bytes, kind: str) -> Entry | None:
        """The entry of a file with this content; `kind` is the suffix that decides how it is parsed."""
        payload = self.load(_name(content, kind))
        if payload is None:
            return None
        revisions, document = orjson.loads(payload)
        return Entry(document, revisions)

    def add(self, content: bytes, kind: str, entry: Entry) -> None:
        """Keeps a document. Does nothing for one that cannot be kept exactly, such as one with an integer of more than 64 bits."""
        with suppress(orjson.JSONEncodeError):
            self.store(_name(content, kind), orjson.dumps((entry.revisions, entry.document)))


def _name(content: bytes, kind: str) -> str:
    return hashlib.sha256(b"".join((_version(), kind.encode(), b"\0", content))).hexdigest()


def _digest(payload: bytes) -> bytes:
    return hashlib.sha256(payload).hexdigest().encode()


@cache
def _version() -> bytes:
    """Changes with everything that decides whether a document is valid and what is read from it."""
    hashed = hashlib.sha256(f"{yaml.__version__} {version('jsonschema-rs')}".encode())
    for path in (family.SCHEMA, *sorted(path for pattern in _CODE for path in _CATALOGUE.glob(pattern))):
        hashed.update(path.read_bytes())
    return hashed.digest()
