"""Whatever the outcome of a call, the books and the provider's log agree."""

import asyncio

from tests.e2e.books import check_books
from tests.e2e.definitions import AGENT
from tests.e2e.platform import Platform, question

STREAM = f"/api/v1/agents/{AGENT}/stream"
FAULTS = ("529", "500", "malformed", "cut", "empty", "stream-error", "secret", "big")


async def test_the_books_agree_with_the_provider_for_calls_of_every_outcome(platform: Platform) -> None:
    before = await check_books(platform)
    questions = {fault: question() for fault in FAULTS}
    for fault, text in questions.items():
        await platform.provider.fault(fault, text)
    asked = [question(), *questions.values()]
    wholes = [platform.execute(text) for text in asked]
    streams = [platform.http.post(STREAM, json={"input": text}) for text in asked]
    await asyncio.gather(*wholes, *streams, _leave(platform), _leave(platform))
    # Bought: 2 plain, 2 each of malformed, cut, empty, secret and big, the stream with the error event, and the 2 abandoned calls.
    assert await check_books(platform) == before + 2 + 2 * 5 + 1 + 2


async def _leave(platform: Platform) -> None:
    text = question()
    await platform.provider.fault("hang", text)
    call = asyncio.create_task(platform.execute(text))
    await platform.provider.asked(text)
    call.cancel()
    await asyncio.wait([call])
