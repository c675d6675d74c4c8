"""Reads the texts of running background executions from Redis."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from mesh.errors import ServiceUnavailable
from orchestrator.adapters.workflows.live import heads
from orchestrator.executions.model import StepRef
from orchestrator.workflows.live.model import LiveHead, LiveNews

SCRIPT = (Path(__file__).parent / "read_texts.lua").read_text()
AT_ONCE = 32
"""Texts in one round trip: Redis does nothing else while it copies them."""
ANSWER_SECONDS = 1.0


class RedisLiveTextReader:
    """Reads texts; see the port."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(SCRIPT)

    async def read(self, known: Sequence[tuple[StepRef, LiveHead | None, int]]) -> Sequence[LiveNews | None]:
        found: list[LiveNews | None] = []
        for begin in range(0, len(known), AT_ONCE):
            found += await self._read(known[begin : begin + AT_ONCE])
        return found

    async def _read(self, known: Sequence[tuple[StepRef, LiveHead | None, int]]) -> Sequence[LiveNews | None]:
        arguments: list[bytes | int] = [heads.WIDTH]
        for _, head, bytes_known in known:
            arguments += heads.pack(head) if head else b"", bytes_known
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answers = await self._script([heads.key(step) for step, _, _ in known], arguments)
        except (RedisError, OSError, TimeoutError) as error:
            message = f"Redis did not return the live texts: {type(error).__name__} {error}".rstrip()
            raise ServiceUnavailable(message, component="redis") from error
        return [_news(answers[place], answers[place + 1]) for place in range(0, len(answers), 2)]


def _news(packed: bytes, added: bytes) -> LiveNews | None:
    head = heads.unpack(packed)
    return None if head is None else LiveNews(head, added)
