"""`python -m tests.bench.programs.peer agent PORT PROVIDER_URL | orchestrator PORT AGENT_URL`: the same platform, built plainly.

FastAPI -> httpx -> FastAPI -> Anthropic SDK. It has no books, no contracts, no gateway and no
correlation ids, so it does less work than the mesh.
"""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class ExecuteRequest(BaseModel):
    """The request to an agent."""

    input: str
    context: dict[str, Any] | None = None


class ExecuteResponse(BaseModel):
    """The answer of an agent."""

    agent_name: str
    result: str
    execution_time: float
    metadata: dict[str, Any]


def agent(provider_url: str) -> FastAPI:
    from time import perf_counter

    from anthropic import AsyncAnthropic

    app = FastAPI(title="Technical SEO Auditor")
    client = AsyncAnthropic(api_key="bench", base_url=provider_url)

    @app.post("/api/v1/execute")
    async def execute(request: ExecuteRequest) -> ExecuteResponse:
        began = perf_counter()
        message = await client.messages.create(
            model="claude-sonnet-5-5",
            max_tokens=4096,
            system="You are a technical SEO auditor. " * 60,
            messages=[{"role": "user", "content": request.input}],
        )
        usage = {"input_tokens": message.usage.input_tokens, "output_tokens": message.usage.output_tokens}
        text = "".join(block.text for block in message.content if block.type == "text")
        return ExecuteResponse(agent_name=app.title, result=text, execution_time=perf_counter() - began, metadata=usage)

    return app


def orchestrator(agent_url: str) -> FastAPI:
    """The orchestration engine: it routes an execution to the agent's microservice."""
    import httpx

    app = FastAPI(title="orchestration engine")
    http = httpx.AsyncClient(base_url=agent_url, timeout=60)

    @app.post("/api/v1/agents/{agent_id}/execute")
    async def execute(agent_id: str, request: ExecuteRequest) -> ExecuteResponse:
        answer = await http.post("/api/v1/execute", json=request.model_dump())
        answer.raise_for_status()
        return ExecuteResponse.model_validate(answer.json())

    return app


if __name__ == "__main__":
    role, port, upstream = sys.argv[1:]
    built = {"agent": agent, "orchestrator": orchestrator}[role](upstream)
    uvicorn.run(built, host="127.0.0.1", port=int(port), log_level="warning", access_log=False, timeout_keep_alive=60)
