"""The same calls over gRPC, through the gateway and directly to the orchestrator, and once over gRPC-Web."""

import grpc
import pytest
from agentmesh.agent.v1 import agent_service_pb2 as agent
from agentmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from agentmesh.execution.v1 import execution_pb2
from agentmesh.execution.v1 import execution_service_pb2 as execution
from agentmesh.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub
from agentmesh.health.v1 import health_service_pb2 as about
from agentmesh.health.v1.health_service_pb2_grpc import HealthServiceStub
from agentmesh.registry.v1 import registry_pb2
from agentmesh.registry.v1 import registry_service_pb2 as registry
from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from agentmesh.workflow.v1 import workflow_pb2
from agentmesh.workflow.v1 import workflow_service_pb2 as workflow
from agentmesh.workflow.v1.workflow_service_pb2_grpc import WorkflowServiceStub
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.rpc.status import error_of as error_of_status
from tests.contract.gateway.wire import REQUEST_ID, frame, web_frames
from tests.e2e.definitions import AGENT, STRICT, TRIALS
from tests.e2e.platform import Platform, question
from tests.e2e.provocations import SECONDS, failure
from tests.support.waiting import eventually


@pytest.fixture(params=["gateway", "orchestrator"])
def channel(platform: Platform, request: pytest.FixtureRequest) -> grpc.aio.Channel:
    """Both targets of native clients."""
    return platform.gateway if request.param == "gateway" else platform.orchestrator


async def test_agents_are_found(channel: grpc.aio.Channel) -> None:
    stub = RegistryServiceStub(channel)
    trials = await stub.ListAgents(registry.ListAgentsRequest(category="trials"), timeout=SECONDS)
    assert ([one.agent_id for one in trials.agents], trials.total) == (list(TRIALS), len(TRIALS))
    found = await stub.ListAgents(
        registry.ListAgentsRequest(search="technical seo", limit=1, view=registry.AGENT_VIEW_FULL), timeout=SECONDS
    )
    assert [one.agent_id for one in found.agents] == [AGENT]
    everybody = await stub.ListAgents(registry.ListAgentsRequest(), timeout=SECONDS)
    assert len(everybody.agents) == 50 < everybody.total
    answer = await stub.GetAgent(registry.GetAgentRequest(agent_id=AGENT), timeout=SECONDS)
    assert answer.agent == found.agents[0]
    categories = await stub.ListCategories(registry.ListCategoriesRequest(), timeout=SECONDS)
    assert sum(category.agent_count for category in categories.categories) == everybody.total


async def test_an_agents_health_is_checked_on_request(channel: grpc.aio.Channel) -> None:
    answer = await RegistryServiceStub(channel).CheckAgentHealth(registry.CheckAgentHealthRequest(agent_id=AGENT), timeout=SECONDS)
    assert answer.health.status == registry_pb2.AGENT_HEALTH_STATUS_SERVING


async def test_the_platform_reports_its_health(channel: grpc.aio.Channel) -> None:
    stub = HealthServiceStub(channel)
    assert (await stub.GetHealth(about.GetHealthRequest(), timeout=SECONDS)).status == "healthy"
    assert (await stub.GetReadiness(about.GetReadinessRequest(), timeout=SECONDS)).status == "ready"
    check = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    assert check.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_call_is_answered_and_recorded(channel: grpc.aio.Channel) -> None:
    stub, text = ExecutionServiceStub(channel), question()
    request = execution.ExecuteAgentRequest(agent_id=STRICT, input=text)
    request.context.update({"audience": "adults", "age": 30})
    call = stub.ExecuteAgent(request, timeout=SECONDS)
    answer = await call
    assert answer.agent_name
    assert len(answer.result) > 200
    assert answer.metadata["provider"] == "simulator"
    assert answer.usage.cost_micro_usd > 0
    record = (await stub.GetExecution(execution.GetExecutionRequest(execution_id=answer.execution_id), timeout=SECONDS)).execution
    assert (record.status, record.input, record.result) == (execution_pb2.EXECUTION_STATUS_COMPLETED, text, answer.result)
    assert dict(record.context) == {"audience": "adults", "age": 30}
    assert record.usage == answer.usage
    metadata = {**dict(await call.initial_metadata()), **dict(await call.trailing_metadata())}
    assert REQUEST_ID.fullmatch(str(metadata["x-request-id"]))
    assert record.request_id == metadata["x-request-id"]


async def test_a_workflow_runs_and_its_results_are_found(channel: grpc.aio.Channel) -> None:
    stub = WorkflowServiceStub(channel)
    tasks = [
        workflow_pb2.Task(id="plan", agent_id=AGENT, input=question()),
        workflow_pb2.Task(id="write", agent_id=AGENT, input="{{tasks.plan.result}}"),
    ]
    made = (await stub.CreateWorkflow(workflow.CreateWorkflowRequest(name="Launch", tasks=tasks), timeout=SECONDS)).workflow
    request = workflow.ExecuteWorkflowRequest(workflow_id=made.workflow_id)
    run_id = (await stub.ExecuteWorkflow(request, timeout=SECONDS)).run.run_id

    async def completed() -> bool:
        run = (await stub.GetRun(workflow.GetRunRequest(run_id=run_id), timeout=SECONDS)).run
        return run.status == workflow_pb2.RUN_STATUS_COMPLETED

    await eventually(completed)
    shown = (await stub.GetWorkflow(workflow.GetWorkflowRequest(workflow_id=made.workflow_id), timeout=SECONDS)).workflow
    assert [one.task_id for one in shown.results] == ["plan", "write"]
    listed = await stub.ListWorkflows(workflow.ListWorkflowsRequest(page_size=1), timeout=SECONDS)
    assert [one.workflow_id for one in listed.workflows] == [made.workflow_id]
    await stub.DeleteWorkflow(workflow.DeleteWorkflowRequest(workflow_id=made.workflow_id), timeout=SECONDS)
    error = error_of_status(await failure(stub.GetRun(workflow.GetRunRequest(run_id=run_id), timeout=SECONDS)))
    assert error is not None
    assert (error.reason, error.details) == ("RUN_NOT_FOUND", {"run_id": run_id})


async def test_an_answer_is_streamed(channel: grpc.aio.Channel) -> None:
    stub = ExecutionServiceStub(channel)
    call = stub.StreamAgent(execution.StreamAgentRequest(agent_id=AGENT, input=question()), timeout=SECONDS)
    events = [event async for event in call]
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds == ["started", *["delta"] * (len(events) - 3), "usage", "done"]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    asked = execution.GetExecutionRequest(execution_id=events[0].started.execution_id)
    record = (await stub.GetExecution(asked, timeout=SECONDS)).execution
    assert record.result == "".join(event.delta.text for event in events)
    assert record.streamed


async def test_executions_are_listed_page_by_page(channel: grpc.aio.Channel) -> None:
    stub = ExecutionServiceStub(channel)
    for _ in range(2):
        await stub.ExecuteAgent(execution.ExecuteAgentRequest(agent_id=AGENT, input=question()), timeout=SECONDS)
    first = await stub.ListExecutions(execution.ListExecutionsRequest(page_size=1, agent_id=AGENT), timeout=SECONDS)
    token = first.next_page_token
    second = await stub.ListExecutions(execution.ListExecutionsRequest(page_size=1, page_token=token, agent_id=AGENT), timeout=SECONDS)
    assert second.executions[0].execution_id < first.executions[0].execution_id


async def test_a_compressed_request_is_accepted(channel: grpc.aio.Channel) -> None:
    text = f"{question()} {'Why? ' * 5_000}"
    request = execution.ExecuteAgentRequest(agent_id=AGENT, input=text)
    assert (await ExecutionServiceStub(channel).ExecuteAgent(request, timeout=SECONDS, compression=grpc.Compression.Gzip)).result


async def test_a_browser_can_call_over_grpc_web(platform: Platform) -> None:
    request = execution.ExecuteAgentRequest(agent_id=AGENT, input=question())
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    path = "/agentmesh.execution.v1.ExecutionService/ExecuteAgent"
    response = await platform.http.post(path, content=frame(request.SerializeToString()), headers=headers)
    assert response.status_code == 200
    messages, trailers = web_frames(response.content)
    assert trailers["grpc-status"] == "0"
    assert execution.ExecuteAgentResponse.FromString(messages[0]).result


async def test_an_agent_describes_itself_on_its_own_port(platform: Platform) -> None:
    port = platform.stack.ports.agents.start + 1
    async with grpc.aio.insecure_channel(f"localhost:{port}") as channel:
        stub = AgentServiceStub(channel)
        described = await stub.Describe(agent.DescribeRequest(), timeout=SECONDS)
        assert (described.agent.agent_id, described.agent.port) == (AGENT, port)
        for service in ("", AGENT):
            check = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS)
            assert check.status == health_pb2.HealthCheckResponse.SERVING


async def test_an_agent_on_another_port_is_not_found_and_the_error_names_its_port(platform: Platform) -> None:
    ports = platform.stack.ports.agents
    async with grpc.aio.insecure_channel(f"localhost:{ports.start + 2}") as channel:
        request = agent.ExecuteRequest(agent_id=AGENT, input=question())
        token = platform.call_token(AGENT)
        problem = error_of_status(await failure(AgentServiceStub(channel).Execute(request, timeout=SECONDS, metadata=token)))
    assert problem is not None
    assert (problem.reason, problem.details["port"]) == ("AGENT_NOT_FOUND", str(ports.start + 1))
