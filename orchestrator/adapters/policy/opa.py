"""Evaluates the policy with an OPA server."""

import asyncio
import json
from types import TracebackType
from typing import Any, Self

import aiohttp

from orchestrator.policy.errors import PolicyUnavailable
from orchestrator.policy.model import Denial, Question

ANSWER_SECONDS = 0.5
_RULES = "v1/data/agents"


class OpaPolicy:
    """Asks OPA's REST API (`POST <url>/v1/data/agents/…`) for each decision. An async context manager."""

    def __init__(self, url: str, seconds: float = ANSWER_SECONDS) -> None:
        self._rules = f"{url.rstrip('/')}/{_RULES}"
        self._seconds = seconds

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._http.close()

    async def allows(self, question: Question) -> bool:
        """Whether the rule `allow` is true."""
        answer = await self._ask("allow", question)
        if "result" not in answer:
            raise PolicyUnavailable("OPA: data.agents.allow is undefined; check that the server has loaded deploy/policy")
        return answer["result"] is True

    async def denial(self, question: Question) -> Denial | None:
        """The value of the rule `denial`."""
        return Denial.of((await self._ask("denial", question)).get("result"))

    async def _ask(self, rule: str, question: Question) -> dict[str, Any]:
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._http.post(f"{self._rules}/{rule}", json={"input": question.document()}, allow_redirects=False) as response,
            ):
                body = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise PolicyUnavailable(f"OPA: {type(error).__name__} {error}".rstrip()) from error
        if response.status != 200:
            raise PolicyUnavailable(f"OPA answered with HTTP status {response.status}")
        return _document(body)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise PolicyUnavailable("OPA answered with a body that is not JSON") from error
    if not isinstance(document, dict):
        raise PolicyUnavailable("OPA answered with JSON that is not an object")
    return document
