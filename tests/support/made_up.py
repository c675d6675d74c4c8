"""A made-up service: the platform must derive the treatment of an rpc from its contract and not from its name."""

from functools import cache
from pathlib import Path

from agentmesh.common.v1 import access_pb2
from agentmesh.health.v1 import health_service_pb2
from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from gateway.envoy.render import GENERATED

SERVICE = "agentmesh.made_up.v1.Oracle"
PAID, PAID_STREAM, PAID_READ, LOGIN, PROBE, PLAIN = (
    f"/{SERVICE}/{name}" for name in ("Consult", "Listen", "Remember", "Enter", "Knock", "Rename")
)
_RPCS = (
    (PAID, "post", "/api/v1/oracle/{name}", access_pb2.RPC_KIND_AGENT_CALL),
    (PAID_STREAM, "post", "/api/v1/oracle/{name}/listen", access_pb2.RPC_KIND_AGENT_CALL),
    (PAID_READ, "get", "/api/v1/oracle/{name}", access_pb2.RPC_KIND_AGENT_CALL),
    (LOGIN, "post", "/api/v1/enter", access_pb2.RPC_KIND_LOGIN),
    (PROBE, "get", "/knock", access_pb2.RPC_KIND_PROBE),
    (PLAIN, "patch", "/api/v1/oracle/{name}", access_pb2.RPC_KIND_STANDARD),
)


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="agentmesh/made_up/v1/oracle.proto", package="agentmesh.made_up.v1", syntax="proto3")
    file.dependency.extend([access_pb2.DESCRIPTOR.name, annotations_pb2.DESCRIPTOR.name, health_service_pb2.DESCRIPTOR.name])
    request = file.message_type.add(name="Question")
    request.field.add(name="name", number=1, label=1, type=9)
    service = file.service.add(name="Oracle")
    for path, verb, template, kind in _RPCS:
        answer = f".{health_service_pb2.GetHealthResponse.DESCRIPTOR.full_name}"
        method = service.method.add(name=path.rpartition("/")[2], input_type=".agentmesh.made_up.v1.Question", output_type=answer)
        method.server_streaming = path == PAID_STREAM
        rule = method.options.Extensions[annotations_pb2.http]
        setattr(rule, verb, template)
        rule.body = "" if verb == "get" else "*"
        access = method.options.Extensions[access_pb2.access]
        access.kind = kind
        if kind == access_pb2.RPC_KIND_AGENT_CALL:
            access.scope = access_pb2.ACCESS_SCOPE_EXECUTE
        else:
            access.open.SetInParent()
    return file


@cache
def register() -> None:
    """Register the service in this process, as an import of its generated module would. May be called more than once."""
    descriptor_pool.Default().AddSerializedFile(_file().SerializeToString())


def contract_with_it(folder: Path) -> Path:
    """Write the published descriptor set with the service added to a file in `folder`, and return its path."""
    published = FileDescriptorSet.FromString((GENERATED / "descriptor.binpb").read_bytes())
    published.file.append(_file())
    path = folder / "descriptor.binpb"
    path.write_bytes(published.SerializeToString())
    return path
