"""A scripted orchestrator: the real server with the real interceptors, and rpcs that a test can replace."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from agentmesh.agent.v1.agent_pb2 import Agent
from agentmesh.event.v1.event_service_pb2_grpc import EventServiceServicer, add_EventServiceServicer_to_server
from agentmesh.execution.v1 import execution_service_pb2 as execution
from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceServicer, add_ExecutionServiceServicer_to_server
from agentmesh.health.v1 import health_service_pb2 as health
from agentmesh.health.v1.health_service_pb2_grpc import HealthServiceServicer, add_HealthServiceServicer_to_server
from agentmesh.registry.v1 import registry_service_pb2 as registry
from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceServicer, add_RegistryServiceServicer_to_server
from agentmesh.workflow.v1.workflow_service_pb2_grpc import WorkflowServiceServicer, add_WorkflowServiceServicer_to_server
from google.protobuf.message import Message

from mesh.rpc.interceptors.admission import AdmissionControl
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor
from mesh.rpc.interceptors.chain import chain
from mesh.rpc.serving.server import Health, add_reflection, build_server, listen
from mesh.security.tls import ServerTls

Context = grpc.aio.ServicerContext[Any, Any]
Answer = Callable[[Any, Context], Awaitable[Message]]
Events = Callable[[Any, Context], AsyncIterator[Message]]
AGENT_ID = "marketing_seo_agent_1_1"
SERVICES = ("agentmesh.execution.v1.ExecutionService", "agentmesh.health.v1.HealthService", "agentmesh.registry.v1.RegistryService")


@dataclass
class Script:
    """What the rpcs do, and the requests that they have received. Without `answer` or `events` they succeed."""

    answer: Answer | None = None
    events: Events | None = None
    requests: list[Any] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)

    def saw(self, request: Any, context: Context) -> None:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata() or ()))

    async def reply(self, request: Any, context: Context, default: Message) -> Any:
        """Answers a unary rpc as the test asked."""
        self.saw(request, context)
        return await self.answer(request, context) if self.answer else default


class _Registry(RegistryServiceServicer):
    def __init__(self, script: Script) -> None:
        self._script = script

    async def ListAgents(self, request: Any, context: Any) -> Any:
        return await self._script.reply(request, context, registry.ListAgentsResponse(total=0))

    async def GetAgent(self, request: Any, context: Any) -> Any:
        return await self._script.reply(request, context, registry.GetAgentResponse(agent=Agent(agent_id=request.agent_id)))

    async def ListCategories(self, request: Any, context: Any) -> Any:
        return await self._script.reply(request, context, registry.ListCategoriesResponse())

    async def RecommendAgents(self, request: Any, context: Any) -> Any:
        return await self._script.reply(request, context, registry.RecommendAgentsResponse())

    async def CheckAgentHealth(self, request: Any, context: Any) -> Any:
        return await self._script.reply(request, context, registry.CheckAgentHealthResponse())


class _Health(HealthServiceServicer):
    async def GetHealth(self, request: Any, context: Any) -> Any:
        return health.GetHealthResponse(status="healthy")

    async def GetReadiness(self, request: Any, context: Any) -> Any:
        return health.GetReadinessResponse(status="ready")


class _Executions(ExecutionServiceServicer):
    def __init__(self, script: Script) -> None:
        self._script = script

    async def ExecuteAgent(self, request: Any, context: Any) -> Any:
        return await self._script.reply(request, context, execution.ExecuteAgentResponse(result=request.input))

    async def StreamAgent(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._script.saw(request, context)
        async for event in (self._script.events or two_events)(request, context):
            yield event

    async def GetExecution(self, request: Any, context: Any) -> Any:
        return await self._script.reply(request, context, execution.GetExecutionResponse())

    async def ListExecutions(self, request: Any, context: Any) -> Any:
        return await self._script.reply(request, context, execution.ListExecutionsResponse())


class _Workflows(WorkflowServiceServicer):
    def __init__(self, script: Script) -> None:
        self._script = script

    async def WatchRun(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._script.saw(request, context)
        assert self._script.events is not None
        async for event in self._script.events(request, context):
            yield event


class _Events(EventServiceServicer):
    def __init__(self, script: Script) -> None:
        self._script = script

    async def WatchEvents(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._script.saw(request, context)
        assert self._script.events is not None
        async for event in self._script.events(request, context):
            yield event


class Backend:
    """The server around the script. It can be stopped and started again, on another port each time."""

    def __init__(self) -> None:
        self.script = Script()
        self.port = 0
        self.health: Health
        self._server: grpc.aio.Server

    async def start(
        self,
        tls: ServerTls | None = None,
        port: int = 0,
        checks: Sequence[BehaviourInterceptor] = (),
        admission: AdmissionControl | None = None,
    ) -> None:
        """Listens and reports SERVING."""
        self._server = build_server(chain(*checks, admission=admission), max_request_bytes=4 * 1024 * 1024)
        add_RegistryServiceServicer_to_server(_Registry(self.script), self._server)
        add_HealthServiceServicer_to_server(_Health(), self._server)
        add_ExecutionServiceServicer_to_server(_Executions(self.script), self._server)  # type: ignore[abstract]  # estimates are not served
        add_WorkflowServiceServicer_to_server(_Workflows(self.script), self._server)  # type: ignore[abstract]  # only WatchRun is served
        add_EventServiceServicer_to_server(_Events(self.script), self._server)  # type: ignore[abstract]  # only WatchEvents is served
        self.health = Health(self._server)
        add_reflection(self._server, SERVICES)
        self.port = listen(self._server, "127.0.0.1", port, tls)
        await self._server.start()
        await self.health.set("", True)

    async def stop(self, grace_seconds: float = 0) -> None:
        """Cancels the calls that have not ended by then."""
        await self._server.stop(grace_seconds)

    def reset(self) -> None:
        """Removes the last test's answers and requests."""
        self.script.answer = self.script.events = None
        self.script.requests.clear()
        self.script.metadata.clear()


async def two_events(request: Any, context: Context) -> AsyncIterator[Message]:
    """A stream that succeeds."""
    yield execution.StreamAgentResponse(sequence=1, delta=execution.Delta(text="half an answer"))
    yield execution.StreamAgentResponse(sequence=2, done=execution.Done(agent_name="an agent"))
