"""Follows a folder of definitions as it changes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from watchfiles import awatch

from catalogue.catalogue import Catalogue, Problem
from catalogue.errors import DefinitionsUnreadable
from catalogue.files.reader import read

DEBOUNCE_MS = 200
LOOK_ANYWAY_SECONDS = 5.0
"""Some changes ring no bell: network file systems, mounts from another machine, a link swapped above the folder."""
RETRY_SECONDS = 1.0
"""How often to see whether the folder itself was replaced, or is back."""


async def watch(path: Path, current: Catalogue, stop: asyncio.Event) -> AsyncIterator[Catalogue]:
    """Yields a new catalogue whenever the agents or the problems differ from those before, beginning with `current`; ends with `stop`.

    A change shows within about 0.3 s where the file system tells of it, else within five seconds. Files are read in a thread of
    their own. When the folder itself goes away its agents stay and the catalogue has one problem; it is taken up again when it returns.
    """
    rung = asyncio.Event()
    bell = asyncio.create_task(_ring(path, rung, stop))
    try:
        while not stop.is_set():
            rung.clear()
            await asyncio.sleep(0)  # lets the bell be hung before the first look, so that no change falls between the two
            fresh = await asyncio.to_thread(_look, path, current)
            changed, current = fresh != current, fresh
            if changed and not stop.is_set():
                yield current
            await rung.wait()
            if bell.done():
                await bell
    finally:
        bell.cancel()
        with suppress(asyncio.CancelledError):
            await bell


def _look(path: Path, current: Catalogue) -> Catalogue:
    try:
        return read(path, current)
    except DefinitionsUnreadable as error:
        return current.without_folder(Problem(path, error.message))


async def _ring(path: Path, rung: asyncio.Event, stop: asyncio.Event) -> None:
    """Sets `rung` whenever something may have changed below the folder, and once `stop` is set."""
    polling = None  # watchfiles decides, by its environment variables
    try:
        while not stop.is_set():
            try:
                await _ring_for(path, rung, stop, polling)
            except FileNotFoundError:
                await _pause(stop)
            except (OSError, RuntimeError):  # no inotify to be had: not supported here, or its limit is reached
                polling = True
                await _pause(stop)
            rung.set()
    finally:
        rung.set()


async def _ring_for(path: Path, rung: asyncio.Event, stop: asyncio.Event, polling: bool | None) -> None:
    """The same, for as long as the folder is the one that it was at the start: the bell hangs on the folder, not on its name."""
    folder = _identity(path)
    halt = _Halt(stop)
    changes = awatch(
        path,
        watch_filter=None,
        debounce=DEBOUNCE_MS,
        rust_timeout=int(RETRY_SECONDS * 1000),
        yield_on_timeout=True,
        ignore_permission_denied=True,
        stop_event=halt,
        force_polling=polling,
    )
    looked = time.monotonic()
    async for seen in changes:
        replaced = _identity(path) != folder
        if seen or replaced or time.monotonic() - looked >= LOOK_ANYWAY_SECONDS:
            looked = time.monotonic()
            rung.set()
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


class _Halt:
    """Ends the watching thread with `stop`, or when the watching task is cancelled: watchfiles then sets the event that it was given,
    which must not be the caller's."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._cancelled = False

    def is_set(self) -> bool:
        """Whether to end."""
        return self._cancelled or self._stop.is_set()

    def set(self) -> None:
        """Watchfiles says that its task was cancelled."""
        self._cancelled = True
