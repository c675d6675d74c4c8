"""What is remembered, for how long, and how often it is loaded."""

import asyncio

import pytest

from mesh.memory.brief_memory import BriefMemory


class Source:
    """The loader; `gate` holds its answers back."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.known: dict[str, str] = {"a": "1", "b": "2"}
        self.gate = asyncio.Event()
        self.gate.set()

    async def load(self, key: str) -> str | None:
        self.asked.append(key)
        value = self.known.get(key)
        await self.gate.wait()
        return value


async def test_a_value_is_loaded_once_within_its_lifetime() -> None:
    source = Source()
    memory = BriefMemory(source.load, 60, 10)
    assert [await memory.get("a") for _ in range(3)] == ["1"] * 3
    assert source.asked == ["a"]


async def test_a_value_is_loaded_again_after_its_lifetime() -> None:
    source = Source()
    memory = BriefMemory(source.load, 0, 10)
    await memory.get("a")
    source.known["a"] = "new"
    assert await memory.get("a") == "new"


async def test_a_missing_value_is_loaded_each_time() -> None:
    source = Source()
    memory = BriefMemory(source.load, 60, 10)
    assert await memory.get("x") is None
    source.known["x"] = "there"
    assert await memory.get("x") == "there"


async def test_concurrent_callers_share_one_load() -> None:
    source = Source()
    source.gate.clear()
    memory = BriefMemory(source.load, 60, 10)
    asking = [asyncio.create_task(memory.get("a")) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    source.gate.set()
    assert await asyncio.gather(*asking[1:]) == ["1"] * 4
    assert source.asked == ["a"]


async def test_a_value_forgotten_during_its_load_is_not_remembered() -> None:
    source = Source()
    source.gate.clear()
    memory = BriefMemory(source.load, 60, 10)
    old = asyncio.create_task(memory.get("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    source.known["a"] = "new"
    memory.forget("a")
    new = asyncio.create_task(memory.get("a"))
    source.gate.set()
    assert (await old, await new, await memory.get("a")) == ("1", "new", "new")


async def test_the_number_of_values_is_bounded() -> None:
    source = Source()
    memory = BriefMemory(source.load, 60, 1)
    for key in ("a", "b", "a"):
        await memory.get(key)
    assert source.asked == ["a", "b", "a"]


async def test_an_error_is_raised_and_not_remembered() -> None:
    async def broken(key: str) -> str | None:
        raise ConnectionError

    memory = BriefMemory(broken, 60, 10)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await memory.get("a")
