"""Follows a folder of definitions as it changes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from watchfiles import awatch

from catalogue.catalogue import Catalogue, Problem
from catalogue.errors import DefinitionsUnreadable
from catalogue.files.cache import DocumentCache
from catalogue.files.reader import read
from catalogue.files.settling import Settling
from mesh.clock import SYSTEM_CLOCK
from mesh.tasks import awaited

DEBOUNCE_MS = 200
POLL_SECONDS = 5.0
"""The folder is also read this often. Network file systems, mounts from another machine and a link swapped above the folder send no
notification."""
RETRY_SECONDS = 1.0
"""How often to check whether the folder itself was replaced, or has returned."""


async def watch(path: Path, current: Catalogue, stop: asyncio.Event, cache: DocumentCache | None = None) -> AsyncIterator[Catalogue]:
    """Yields a new catalogue whenever the agents or the problems differ from the last one, starting from `current`; ends with `stop`.

    A change is served within a second if the file system sends notifications, otherwise within six. Changes that remove agents take
    5 s more (see `Settling`). Files are read in a thread. If the folder itself disappears, its agents stay and the catalogue has one
    problem until the folder returns.
    """
    changed = asyncio.Event()
    notifier = awaited(_notify(path, changed, stop))
    settling = Settling()
    try:
        while not stop.is_set():
            changed.clear()
            await asyncio.sleep(0)  # lets the notifier start before the first look, so that no change falls between the two
            fresh = await asyncio.to_thread(_look, path, current, settling, cache)
            differs, current = fresh != current, fresh
            if differs and not stop.is_set():
                yield current
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), settling.next_look)
            if notifier.done():
                await notifier
    finally:
        notifier.cancel()
        with suppress(asyncio.CancelledError):
            await notifier


def _look(path: Path, current: Catalogue, settling: Settling, cache: DocumentCache | None) -> Catalogue:
    try:
        return read(path, current, settling, cache)
    except DefinitionsUnreadable as error:
        return current.without_folder(Problem(path, error.message))


async def _notify(path: Path, changed: asyncio.Event, stop: asyncio.Event) -> None:
    """Sets `changed` whenever something below the folder may have changed, and when `stop` is set."""
    polling = None  # watchfiles decides, by its environment variables
    try:
        while not stop.is_set():
            try:
                await _notify_of_folder(path, changed, stop, polling)
            except FileNotFoundError:
                await _pause(stop)
            except (OSError, RuntimeError):  # inotify is not supported here, or its limit is reached
                polling = True
                await _pause(stop)
            changed.set()
    finally:
        changed.set()


async def _notify_of_folder(path: Path, changed: asyncio.Event, stop: asyncio.Event, polling: bool | None) -> None:
    """As `_notify`, until the path leads to another folder: inotify watches the folder, not its name."""
    folder = _identity(path)
    changes = awatch(
        path,
        watch_filter=None,
        debounce=DEBOUNCE_MS,
        rust_timeout=int(RETRY_SECONDS * 1000),
        yield_on_timeout=True,
        ignore_permission_denied=True,
        stop_event=_StopFlag(stop),
        force_polling=polling,
    )
    looked = SYSTEM_CLOCK.monotonic()
    async for seen in changes:
        replaced = _identity(path) != folder
        if seen or replaced or SYSTEM_CLOCK.monotonic() - looked >= POLL_SECONDS:
            looked = SYSTEM_CLOCK.monotonic()
            changed.set()
        if replaced:
            break
    await changes.aclose()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


async def _pause(stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), RETRY_SECONDS)


class _StopFlag:
    """Ends the watching thread when `stop` is set or the watching task is cancelled.

    When its task is cancelled, watchfiles sets the event that it was given. That must not be the caller's event.
    """

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._cancelled = False

    def is_set(self) -> bool:
        return self._cancelled or self._stop.is_set()

    def set(self) -> None:
        self._cancelled = True
