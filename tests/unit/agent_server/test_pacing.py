"""The first piece is sent at once, later ones in frames, and heartbeats are sent while there is no text."""

import asyncio
from collections.abc import AsyncIterator
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_server.hosting import pacing
from agent_server.hosting.pacing import FRAME_SECONDS, HEARTBEAT_SECONDS, PieceQueue
from tests.unit.agent_server.conftest import closing

Frame = str | int | None


def filled(*items: str | int, end: bool = True) -> PieceQueue[int]:
    queue: PieceQueue[int] = PieceQueue()
    for item in items:
        queue.put(item)
    if end:
        queue.end()
    return queue


async def collected(frames: AsyncIterator[Frame]) -> list[Frame]:
    return [frame async for frame in frames]


def test_frame_and_heartbeat_intervals_are_25_ms_and_15_s() -> None:
    assert (FRAME_SECONDS, HEARTBEAT_SECONDS) == (0.025, 15)


async def test_the_first_piece_is_sent_at_once_and_alone() -> None:
    assert (await collected(filled("a", "b", "c", 1).frames())) == ["a", "bc", 1]


async def test_pieces_that_arrive_together_are_sent_together() -> None:
    queue = filled("first", end=False)
    async with closing(queue.frames()) as frames:
        assert await anext(frames) == "first"
        for piece in ("b", "c", "d"):
            queue.put(piece)
        assert await anext(frames) == "bcd"


async def test_a_frame_waits_no_longer_than_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "FRAME_SECONDS", 0.05)
    loop = asyncio.get_running_loop()
    queue = filled("first", end=False)
    async with closing(queue.frames()) as frames:
        await anext(frames)
        began = loop.time()
        queue.put("b")
        assert await anext(frames) == "b"
        assert 0.04 <= loop.time() - began < 1


async def test_a_piece_after_a_pause_is_sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "FRAME_SECONDS", 0.01)
    loop = asyncio.get_running_loop()
    queue = filled("first", end=False)
    async with closing(queue.frames(heartbeat_seconds=0.05)) as frames:
        assert [await anext(frames), await anext(frames)] == ["first", None]
        monkeypatch.setattr(pacing, "FRAME_SECONDS", 60)
        queue.put("b")
        began = loop.time()
        assert await anext(frames) == "b"
        assert loop.time() - began < 1


async def test_heartbeats_repeat_while_there_is_no_text() -> None:
    async with closing(filled(end=False).frames(heartbeat_seconds=0.01)) as frames:
        assert [await anext(frames) for _ in range(3)] == [None, None, None]


async def test_gathered_text_is_sent_when_the_answer_ends() -> None:
    assert await collected(filled("a", "b").frames()) == ["a", "b"]
    assert await collected(filled().frames()) == []


async def test_a_late_result_follows_all_text() -> None:
    queue = filled("a", "b", end=False)
    async with closing(queue.frames()) as frames:
        assert await anext(frames) == "a"
        queue.put(7)
        queue.end()
        assert await collected(frames) == ["b", 7]


@given(pieces=st.lists(st.text(min_size=1, max_size=5), max_size=30))
async def test_the_text_stays_complete_and_in_order(pieces: list[str]) -> None:
    frames = await collected(filled(*pieces, 1).frames())
    assert frames[-1] == 1
    assert "".join(str(frame) for frame in takewhile(lambda frame: frame != 1, frames)) == "".join(pieces)
