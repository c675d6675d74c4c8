"""`python -m tests.bench.programs.floor agent PORT PROVIDER_URL | orchestrator PORT AGENT_PORT`: the mesh's hops without its work.

Two gRPC services in Python behind the same gateway, and the SDK on the transport that the agent hosts use. They have no credentials,
limits, policy, validation, books, call tokens, guardrails, logs or metrics: this is the minimum cost of any mesh of this architecture.
"""

import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
from agentmesh.agent.v1 import agent_service_pb2 as agents
from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from agentmesh.execution.v1 import execution_service_pb2 as executions

from agent_server.model.ports import Meter, Prompt
from agent_server.providers.anthropic.messages import AnthropicModel
from mesh.process import prefer_running_threads, run_until_stopped, spare_the_collector
from mesh.rpc.channel import ChannelPool
from mesh.rpc.serving.server import Health, build_server, listen
from mesh.tasks import BackgroundTasks

NAME, SYSTEM = "Technical SEO Auditor", "You are a technical SEO auditor. " * 60
Behaviour = Callable[[Any, Any], Awaitable[Any]]


def agent(model: AnthropicModel) -> Behaviour:
    """Send the input to the model."""

    async def execute(request: agents.ExecuteRequest, _: Any) -> agents.ExecuteResponse:
        answer = await model.complete(Prompt("claude-sonnet-5-5", SYSTEM, request.input, 4096, ""), Meter(), 60)
        return agents.ExecuteResponse(agent_name=NAME, result=answer.text, execution_time=0.01)

    return execute


def orchestrator(stub: Any) -> Behaviour:
    """Forward each call to the agent."""

    async def execute(request: executions.ExecuteAgentRequest, _: Any) -> executions.ExecuteAgentResponse:
        answer = await stub.Execute(agents.ExecuteRequest(agent_id=request.agent_id, input=request.input), timeout=60)
        return executions.ExecuteAgentResponse(agent_name=answer.agent_name, result=answer.result, execution_time=answer.execution_time)

    return execute


async def serve(role: str, port: int, upstream: str, tasks: BackgroundTasks) -> None:
    """Serves until told to stop."""
    server = build_server([])
    await Health(server).set("", True)
    request: Callable[[bytes], Any]
    async with AsyncExitStack() as stack:
        if role == "agent":
            behaviour = agent(await stack.enter_async_context(AnthropicModel("bench", upstream)))
            service, method, request = "agentmesh.agent.v1.AgentService", "Execute", agents.ExecuteRequest.FromString
        else:
            channels = ChannelPool(tasks)
            stack.push_async_callback(channels.close)
            behaviour = orchestrator(AgentServiceStub(channels.get(f"127.0.0.1:{upstream}")))
            service, method, request = "agentmesh.execution.v1.ExecutionService", "ExecuteAgent", executions.ExecuteAgentRequest.FromString
        handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
            behaviour, request, lambda answer: answer.SerializeToString()
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        listen(server, "127.0.0.1", port, None)
        await server.start()
        await tasks.stopping.wait()
        await server.stop(None)


if __name__ == "__main__":
    role, port, upstream = sys.argv[1:]
    spare_the_collector()
    prefer_running_threads()
    run_until_stopped(lambda tasks: serve(role, int(port), upstream, tasks))
