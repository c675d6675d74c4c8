"""Requests that cost far more than their size cost the orchestrator and the agent host little CPU, so they hold up no other call."""

from functools import partial
from typing import Any

import grpc
import pytest
from agentmesh.execution.v1 import execution_service_pb2 as pb
from agentmesh.identity.v1 import identity_service_pb2 as identity
from agentmesh.registry.v1 import registry_service_pb2 as registry
from agentmesh.workflow.v1 import workflow_service_pb2 as workflow

from tests.rpc.orchestrator.running import Mesh
from tests.support.cpu import cost_of
from tests.support.expensive_requests import expensive_requests

MOST_MS = 150
"""Of CPU in one process, receiving 4 MB included. The dearest shapes take 20 to 50 on a busy machine; parsing them took 200 to 10,000."""
RPCS: dict[str, Any] = {
    "/agentmesh.execution.v1.ExecutionService/ExecuteAgent": pb.ExecuteAgentRequest.DESCRIPTOR,
    "/agentmesh.workflow.v1.WorkflowService/CreateWorkflow": workflow.CreateWorkflowRequest.DESCRIPTOR,
    "/agentmesh.identity.v1.AuthService/CreateApiKey": identity.CreateApiKeyRequest.DESCRIPTOR,
    "/agentmesh.identity.v1.AuthService/Login": identity.LoginRequest.DESCRIPTOR,
    "/agentmesh.registry.v1.RegistryService/ListAgents": registry.ListAgentsRequest.DESCRIPTOR,
}


@pytest.mark.parametrize("rpc", RPCS)
async def test_no_shape_of_a_request_costs_much(mesh: Mesh, rpc: str) -> None:
    pids = {"orchestrator": mesh.orchestrator.process.pid, "host": mesh.host.process.pid}
    call: Any = mesh.orchestrator.channel.unary_unary(rpc)

    async def refused(body: bytes) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call(body)
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    dear: dict[str, tuple[float, str]] = {}
    for name, body in expensive_requests(RPCS[rpc]):
        ms, process = await cost_of(partial(refused, body), pids, tries=1)
        if ms > MOST_MS:  # perhaps something else: again
            ms, process = await cost_of(partial(refused, body), pids)
        dear |= {name: (ms, process)} if ms > MOST_MS else {}
    assert dear == {}
