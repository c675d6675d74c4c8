"""Requests whole answers from the Messages API. The SDK describes the request once; see decision 14."""

import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import anthropic
import httpx2

from agent_server.providers.anthropic.http import MessagesHttpClient
from mesh.documents.json_encoding import to_json


class WholeMessages:
    """Makes unary calls, which are most of an agent host's work.

    Address, credentials, versions, timeouts and connections are those of `client`, and a failure raises what `client` would raise. The
    SDK's own method builds every request again, from 17 headers and three layers of options: half of the CPU of a provider call.
    """

    def __init__(self, client: anthropic.AsyncAnthropic, http: MessagesHttpClient) -> None:
        given = {name: value for name, value in client.default_headers.items() if isinstance(value, str)}
        self._headers = httpx2.Headers({**given, "x-stainless-retry-count": "0"}, encoding="utf-8")
        self._url = client.base_url.join("v1/messages")
        self._timeout = httpx2.Timeout(client.timeout).as_dict()
        self._http = http

    async def create(self, fields: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        """The message as plain JSON values.

        Raises APITimeoutError, APIConnectionError, APIStatusError, AnswerTooLarge, and ValueError if the body is not JSON.
        """
        request = self._request(to_json(fields), headers)
        try:
            response = await self._http.send(request)
        except httpx2.TimeoutException as error:
            raise anthropic.APITimeoutError(request) from error
        except (httpx2.HTTPError, aiohttp.ClientError) as error:
            raise anthropic.APIConnectionError(request=request) from error
        if not response.is_success:
            raise anthropic.APIStatusError(f"status {response.status_code}", response=response, body=_body(response))
        return json.loads(response.content)  # orjson rejects half a surrogate pair, and then the usage would be lost

    def _request(self, content: bytes, headers: Mapping[str, str]) -> httpx2.Request:
        request = httpx2.Request("POST", self._url, stream=httpx2.ByteStream(content), extensions={"timeout": self._timeout})
        request.headers = self._headers.copy()
        for name, value in headers.items():
            request.headers[name] = value
        request.read()
        return request


def _body(response: httpx2.Response) -> object:
    try:
        return json.loads(response.content)
    except ValueError:
        return response.text
