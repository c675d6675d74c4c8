"""bcrypt in one thread of low priority."""

import asyncio
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Self, TypeVar

import bcrypt

from orchestrator.adapters.identity.fair_turns import FairTurns

T = TypeVar("T")

ROUNDS = 12
WAITING = 24
"""Checks that may wait. At 12 rounds the last of them waits 6 s."""
SECONDS = 0.25
"""One check at 12 rounds, on a core of its own."""
NICE = 10
"""The thread gets about a tenth of a core while agent calls use all cores, and a whole core otherwise."""


class BcryptPasswords:
    """Implements the port `Passwords`. A context manager."""

    def __init__(self, rounds: int = ROUNDS, waiting: int = WAITING) -> None:
        self._rounds = rounds
        self._turns = FairTurns(waiting, SECONDS * 2.0 ** (rounds - ROUNDS))
        self._thread = ThreadPoolExecutor(1, "bcrypt", _give_way)
        self._nobody = bcrypt.hashpw(secrets.token_bytes(24).replace(b"\x00", b"\x01"), bcrypt.gensalt(rounds)).decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def turn(self, address: str, name: str) -> AbstractAsyncContextManager[None]:
        """The caller's turn; see the port."""
        return self._turns.turn(address, name)

    async def hash(self, password: str) -> str:
        """The hash of a new password."""
        return await self._run(lambda: bcrypt.hashpw(password.encode(), bcrypt.gensalt(self._rounds)).decode())

    async def fits(self, password: str, password_hash: str | None) -> bool:
        """Whether the password fits; without a hash, it is checked against the hash of a random one to take as long."""
        fits = await self._run(lambda: bcrypt.checkpw(password.encode(), (password_hash or self._nobody).encode()))
        return fits and password_hash is not None

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _give_way() -> None:
    # On Linux, each thread has its own priority.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
