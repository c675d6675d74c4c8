"""The SDK's HTTP client without what the Messages API has no use for."""

from typing import Any

import anthropic
import httpx2


class MessagesHttpClient(anthropic.DefaultAioHttpClient):
    """Sends each request as the SDK made it, and once: no cookies, redirects, authentication flows or hooks.

    These take a fifth of the CPU of a provider call, though none is ever used. Proxies, limits and timeouts are the base class's.
    """

    def build_request(self, method: str, url: httpx2.URL | str, **said: Any) -> httpx2.Request:
        """The request; the SDK has merged headers and parameters itself."""
        timeout = httpx2.Timeout(said.pop("timeout")).as_dict()
        return httpx2.Request(method, url, extensions={**(said.pop("extensions", None) or {}), "timeout": timeout}, **said)

    async def send(self, request: httpx2.Request, *, stream: bool = False, **_: Any) -> httpx2.Response:
        """The response, read to its end unless it is streamed."""
        response = await self._transport_for_url(request.url).handle_async_request(request)
        response.request = request
        if not stream:
            try:
                await response.aread()
            except BaseException:
                await response.aclose()
                raise
        return response
