"""Follows the texts that are watched in this process."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from mesh.errors import ServiceUnavailable
from orchestrator.executions.model import StepRef
from orchestrator.workflows.live.model import LiveHead, LiveNews, LivePiece, LivePosition
from orchestrator.workflows.model import StepState
from orchestrator.workflows.ports import LiveTextReader

log = structlog.get_logger()

READ_SECONDS = 0.1
"""How often the watched texts are read: as often as workers write them."""
PAUSE_SECONDS = 1.0
"""How long nothing is read after Redis was unavailable."""

Wake = Callable[[], Awaitable[None]]
Known = tuple[LiveHead | None, int]


class LiveText:
    """The text of a step's running attempt, as far as this process knows it. Empty while the step does not run."""

    def __init__(self, step: StepRef, state: StepState, wake: Wake) -> None:
        self.step = step
        self.running = state is StepState.RUNNING
        self.wake = wake
        """Wakes the watchers of the step."""
        self.head: LiveHead | None = None
        self.bytes_read = 0
        self._text = ""

    def step_changed(self, state: StepState) -> None:
        """Empties the text when its attempt has ended."""
        self.running = state is StepState.RUNNING
        if not self.running:
            self.head, self.bytes_read, self._text = None, 0, ""

    @property
    def known(self) -> "Known":
        """What to read after."""
        return self.head, self.bytes_read

    def take(self, news: LiveNews, after: "Known") -> bool:
        """Adds what was read after `after`; returns whether it was taken.

        The text of an older attempt, whose worker has lost its lease and still writes, is not.
        """
        head = news.head
        if not self.running or self.known != after or (self.head is not None and head.epoch < self.head.epoch):
            return False
        if self.head is None or head.execution_id != self.head.execution_id:
            self.bytes_read, self._text = 0, ""
        self.head = head
        self.bytes_read += len(news.added)
        self._text += news.added.decode(errors="replace")
        return True

    def after(self, position: LivePosition | None) -> LivePiece | None:
        """Returns what follows a watcher's position; None if nothing does."""
        if self.head is None:
            return None
        offset = 0
        if position is not None and position.execution_id == self.head.execution_id:
            offset = position.offset
            if offset >= len(self._text) and position.truncated >= self.head.truncated:
                return None
        head = self.head
        return LivePiece(self.step.task_id, head.execution_id, head.attempt, offset, self._text[offset:], head.truncated)


class LiveTexts:
    """Reads the texts that are watched in this process: every 100 ms all those whose steps run, in one round trip."""

    def __init__(self, reader: LiveTextReader) -> None:
        self._reader = reader
        self._followed: set[LiveText] = set()
        self._begun = asyncio.Event()
        self._failing = False

    @contextmanager
    def following(self, text: LiveText) -> Iterator[None]:
        """Keeps a text up to date while the block runs."""
        self._followed.add(text)
        self._begun.set()
        try:
            yield
        finally:
            self._followed.discard(text)

    async def read_forever(self) -> None:
        """Reads until cancelled."""
        while True:
            if not self._followed:
                self._begun.clear()
                await self._begun.wait()
            try:
                await self._read([text for text in self._followed if text.running])
                self._failing = False
            except ServiceUnavailable as error:  # the answers come with the results of the steps
                if not self._failing:
                    log.warning("live_texts_not_read", texts=len(self._followed), error=error.message)
                self._failing = True
            await asyncio.sleep(PAUSE_SECONDS if self._failing else READ_SECONDS)

    async def _read(self, texts: list[LiveText]) -> None:
        if not texts:
            return
        known = [text.known for text in texts]
        found = await self._reader.read([(text.step, *after) for text, after in zip(texts, known, strict=True)])
        for text, after, news in zip(texts, known, found, strict=True):
            if news is not None and text.take(news, after):
                await text.wake()
