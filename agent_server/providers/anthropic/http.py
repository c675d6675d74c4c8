"""The SDK's HTTP client without the features that the Messages API does not use."""

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx2

from agent_server.providers.anthropic.errors import AnswerEncoded, AnswerTooLarge

LARGEST_RESPONSE_BYTES = 64 * 1024 * 1024
"""No response is read beyond this, so that a broken or hostile server cannot fill the host's memory. An answer of 16 MB fits in any
form: JSON can take six bytes for a character, and a stream repeats its frame around every delta."""


class MessagesHttpClient(anthropic.DefaultAioHttpClient):
    """Sends each request as the SDK made it, and once: no cookies, redirects, authentication flows or hooks.

    These take a fifth of the CPU of a provider call, though none is ever used. Proxies, limits and timeouts are those of the base
    class. Reading a response raises AnswerTooLarge after 64 MiB, and AnswerEncoded if it is compressed.
    """

    def build_request(self, method: str, url: httpx2.URL | str, **given: Any) -> httpx2.Request:
        """The request. The SDK has already merged headers and parameters."""
        timeout = httpx2.Timeout(given.pop("timeout")).as_dict()
        return httpx2.Request(method, url, extensions={**(given.pop("extensions", None) or {}), "timeout": timeout}, **given)

    async def send(self, request: httpx2.Request, *, stream: bool = False, **_: Any) -> httpx2.Response:
        """The response, read to its end unless it is streamed."""
        response = await self._transport_for_url(request.url).handle_async_request(request)
        response.request = request
        if (encoding := response.headers.get("content-encoding", "identity")) != "identity":
            response.stream = _Encoded(response.stream, encoding)
        elif isinstance(response.stream, httpx2.AsyncByteStream) and not _declares_good_size(response):
            response.stream = _Bounded(response.stream)
        if not stream:
            try:
                await response.aread()
            except BaseException:
                await response.aclose()
                raise
        return response


def _declares_good_size(response: httpx2.Response) -> bool:
    """Whether the response states a length within the limit: no more than that is then read of it."""
    length = response.headers.get("content-length", "")
    return length.isdecimal() and len(length) < 20 and int(length) <= LARGEST_RESPONSE_BYTES


class _Encoded(httpx2.AsyncByteStream):
    """A response body that is not read, because the request asked for no encoding: a few bytes could decompress to any size."""

    def __init__(self, stream: Any, encoding: str) -> None:
        self._stream = stream
        self._encoding = encoding

    async def __aiter__(self) -> AsyncIterator[bytes]:
        raise AnswerEncoded(f"the model provider's address answered in the encoding '{self._encoding[:60]}', which was not asked for")
        yield b""  # makes this a generator

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Bounded(httpx2.AsyncByteStream):
    """A response body of at most LARGEST_RESPONSE_BYTES."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > LARGEST_RESPONSE_BYTES:
                raise AnswerTooLarge(f"the model provider's response is larger than {LARGEST_RESPONSE_BYTES // 2**20} MiB")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
