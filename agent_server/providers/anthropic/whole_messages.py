"""Asks the Messages API for whole answers, with a request that the SDK has described once."""

import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import anthropic
import httpx2

from agent_server.providers.anthropic.http import MessagesHttpClient
from mesh.json_encoding import to_json


class WholeMessages:
    """The SDK's client for the one call that is made all day.

    Address, credentials, versions, timeouts and connections are those of `client`, and what fails raises what it would raise. It puts
    every request together anew, from 17 headers and three layers of options: half of the CPU of a provider call.
    """

    def __init__(self, client: anthropic.AsyncAnthropic, http: MessagesHttpClient) -> None:
        said = {name: value for name, value in client.default_headers.items() if isinstance(value, str)}
        self._headers = httpx2.Headers({**said, "x-stainless-retry-count": "0"}, encoding="utf-8")
        self._url = client.base_url.join("v1/messages")
        self._timeout = httpx2.Timeout(client.timeout).as_dict()
        self._http = http

    async def create(self, fields: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        """The message as the API's JSON has it.

        Raises APITimeoutError, APIConnectionError, APIStatusError, and ValueError for an answer that is no JSON.
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
        return json.loads(response.content)  # orjson refuses lone surrogates, and with them the usage

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
