"""Writes the texts of running background executions to Redis."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha1
from pathlib import Path
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from orchestrator.adapters.workflows.live import heads
from orchestrator.executions.model import StepRef
from orchestrator.workflows.live.model import LiveHead

log = structlog.get_logger()

SCRIPT = (Path(__file__).parent / "write_text.lua").read_text()
_DIGEST = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
WRITE_SECONDS = 0.1
"""How often a growing text is written. Readers look as often."""
KEPT_SECONDS = 600
"""How long a text is kept after it last grew. Only the texts of dead workers are kept so long: a text is deleted when its attempt ends."""
ANSWER_SECONDS = 1.0
PAUSE_SECONDS = 1.0
"""How long nothing is written after Redis was unavailable."""


@dataclass(slots=True)
class _Text:
    step: StepRef
    head: LiveHead
    utf8: bytearray = field(default_factory=bytearray)
    shown: tuple[LiveHead, int] | None = None
    """The head and the number of bytes that Redis has; None if that is unknown."""

    @property
    def current(self) -> tuple[LiveHead, int]:
        return self.head, len(self.utf8)

    def grow(self, piece: str, most_bytes: int) -> None:
        added = piece.encode()
        if self.head.truncated:
            return
        if len(self.utf8) + len(added) > most_bytes:
            self.head = replace(self.head, truncated=True)
        else:
            self.utf8 += added

    def command(self) -> tuple[str, bytes, int, bytes, int]:
        """Returns the arguments of the script that writes what Redis does not have."""
        written = self.shown[1] if self.shown else 0
        return heads.key(self.step), heads.pack(self.head), written, bytes(self.utf8[written:]), KEPT_SECONDS

    def ending(self) -> tuple[str, bytes, int, bytes, int]:
        """Returns the arguments of the script that deletes the text."""
        return heads.key(self.step), heads.pack(self.head), 0, b"", 0


class RedisLiveTextWriter:
    """Keeps the texts of this worker's attempts, and writes what has grown: every 100 ms, in one round trip.

    `most_bytes` bounds each text. If Redis loses a text, the whole text is written again.
    """

    def __init__(self, redis: Redis, most_bytes: int) -> None:
        self._redis = redis
        self._most_bytes = most_bytes
        self._texts: dict[tuple[StepRef, int], _Text] = {}
        self._ended: list[_Text] = []
        self._changed = asyncio.Event()
        self._failing = False

    def grow(self, step: StepRef, head: LiveHead, piece: str) -> None:
        """Adds a piece to a text; see the port."""
        text = self._texts.get((step, head.epoch))
        if text is None or text.head.execution_id != head.execution_id:
            text = self._texts[step, head.epoch] = _Text(step, head)
        text.grow(piece, self._most_bytes)
        self._changed.set()

    def end(self, step: StepRef, epoch: int) -> None:
        """Discards a text; see the port."""
        if (text := self._texts.pop((step, epoch), None)) is not None:
            self._ended.append(text)
            self._changed.set()

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._write()
                self._failing = False
            except (RedisError, OSError, TimeoutError) as error:  # the answers come with the results of the steps
                if not self._failing:
                    log.warning("live_texts_not_written", texts=len(self._texts), error=f"{type(error).__name__} {error}".rstrip())
                self._failing = True
                self._changed.set()
            await asyncio.sleep(PAUSE_SECONDS if self._failing else WRITE_SECONDS)

    async def _write(self) -> None:
        ended, self._ended = self._ended, []  # forgotten if Redis is unavailable: they expire
        grown = [text for text in self._texts.values() if text.shown != text.current]
        commands = [*(text.command() for text in grown), *(text.ending() for text in ended)]
        sent = [text.current for text in grown]
        for text in grown:
            text.shown = None  # until the answer arrives
        answers = await self._send(commands)
        for text, state, answer in zip(grown, sent, answers, strict=False):
            if answer < 0:
                self._changed.set()
            else:
                text.shown = state

    async def _send(self, commands: Sequence[tuple[Any, ...]]) -> Sequence[int]:
        """Runs the script for each command; a negative answer means that the whole text must be written."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.evalsha(_DIGEST, 1, *command)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
        failures = [answer for answer in answers if isinstance(answer, Exception)]
        if failures and not all(isinstance(failure, NoScriptError) for failure in failures):
            raise next(failure for failure in failures if not isinstance(failure, NoScriptError))
        if failures:
            await self._redis.script_load(SCRIPT)
        return [-1 if isinstance(answer, Exception) else answer for answer in answers]
