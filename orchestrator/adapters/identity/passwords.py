"""bcrypt in a thread of its own, which every other thread goes before."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Self, TypeVar

import bcrypt

from orchestrator.identity.errors import TooManyAttempts

T = TypeVar("T")

ROUNDS = 12
LONGEST_QUEUE = 8
RETRY_AFTER_SECONDS = 2
NICE = 10
"""The thread gets about a tenth of a core while agent calls want all of them, and a whole one otherwise."""


class BcryptPasswords:
    """One hash at a time, and few that wait: twelve rounds take a quarter of a second. A context manager."""

    def __init__(self, rounds: int = ROUNDS) -> None:
        self._rounds = rounds
        self._taken = 0
        self._thread = ThreadPoolExecutor(1, "bcrypt", _give_way)
        self._nobody = bcrypt.hashpw(b"nobody has this password", bcrypt.gensalt(rounds)).decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A place in the queue; see the port."""
        if self._taken >= LONGEST_QUEUE:
            raise TooManyAttempts("too many passwords are being checked; try again", retry_after_seconds=RETRY_AFTER_SECONDS)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def hash(self, password: str) -> str:
        """The hash of a new password."""
        return await self._run(lambda: bcrypt.hashpw(password.encode(), bcrypt.gensalt(self._rounds)).decode())

    async def fits(self, password: str, password_hash: str | None) -> bool:
        """Whether the password fits; without a hash the work is done against one that nobody has."""
        fits = await self._run(lambda: bcrypt.checkpw(password.encode(), (password_hash or self._nobody).encode()))
        return fits and password_hash is not None

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _give_way() -> None:
    # On Linux a thread has a priority of its own.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
