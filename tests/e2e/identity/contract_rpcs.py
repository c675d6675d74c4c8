"""Every rpc of the published descriptor set, and how a test calls one by its name in it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from agentmesh.analytics.v1 import analytics_service_pb2
from agentmesh.common.v1 import access_pb2
from agentmesh.event.v1 import event_service_pb2
from agentmesh.execution.v1 import execution_service_pb2
from agentmesh.health.v1 import health_service_pb2
from agentmesh.identity.v1 import identity_service_pb2
from agentmesh.registry.v1 import registry_service_pb2
from agentmesh.workflow.v1 import workflow_service_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass

from gateway.envoy.contract import Rpc, public_rpcs
from gateway.envoy.render import GENERATED
from mesh.rpc.status import error_of

DESCRIPTORS = GENERATED / "descriptor.binpb"
SECONDS = 10
GENERATED_FROM_THEM = (
    analytics_service_pb2,
    *(event_service_pb2, execution_service_pb2, identity_service_pb2, health_service_pb2, registry_service_pb2),
    workflow_service_pb2,
)
"""The message registry knows a service once its module is imported."""
NOT_SERVED_YET: set[str] = set()
"""Rpcs of the contract that still answer NOT_IMPLEMENTED."""


@dataclass(frozen=True)
class ContractRpc:
    """A public rpc of the platform."""

    descriptor: MethodDescriptor
    rest: Rpc

    @property
    def name(self) -> str:
        """`Service.Method`."""
        return f"{self.descriptor.containing_service.name}.{self.descriptor.name}"

    @property
    def open(self) -> bool:
        """Whether it may be called without a credential."""
        return bool(self.descriptor.GetOptions().Extensions[access_pb2.access].WhichOneof("caller") == "open")

    def request(self, **fields: Any) -> Any:
        return GetMessageClass(self.descriptor.input_type)(**fields)

    async def reason(self, channel: grpc.aio.Channel, request: Any, metadata: Sequence[tuple[str, str]] = ()) -> str:
        """The reason of the response; `OK` on success, the gRPC code if the error has no reason."""
        kind: Any = channel.unary_stream if self.descriptor.server_streaming else channel.unary_unary
        serializer, deserializer = type(request).SerializeToString, GetMessageClass(self.descriptor.output_type).FromString
        call = kind(self.rest.path, request_serializer=serializer, response_deserializer=deserializer)(
            request, metadata=tuple(metadata), timeout=SECONDS
        )
        try:
            async with asyncio.timeout(SECONDS):
                await (call.read() if self.descriptor.server_streaming else call)
        except grpc.aio.AioRpcError as failure:
            error = error_of(failure)
            return error.reason if error else failure.code().name
        finally:
            call.cancel()
        return "OK"


def every_rpc() -> list[ContractRpc]:
    """All rpcs, as the descriptor set names them."""
    services = {
        f"{file.package}.{service.name}"
        for file in FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file
        for service in file.service
        if file.package.startswith("agentmesh.")
    }
    public = public_rpcs(DESCRIPTORS)
    assert {rpc.service for rpc in public} == services - {"agentmesh.agent.v1.AgentService"}
    return [ContractRpc(Default().FindServiceByName(rpc.service).methods_by_name[rpc.name], rpc) for rpc in public]
