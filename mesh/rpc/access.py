"""What an rpc is, as its contract declares it (`agentmesh.common.v1.access`)."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from agentmesh.common.v1 import access_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions

from mesh.security.caller import Scope

_SCOPES = {
    access_pb2.ACCESS_SCOPE_READ: Scope.READ,
    access_pb2.ACCESS_SCOPE_EXECUTE: Scope.EXECUTE,
    access_pb2.ACCESS_SCOPE_MANAGE: Scope.MANAGE,
}


class RpcKind(StrEnum):
    """The kind of a call; the comments of `agentmesh.common.v1.RpcKind` say what each kind implies."""

    STANDARD = "standard"
    LOGIN = "login"
    AGENT_CALL = "agent_call"
    PROBE = "probe"


_KINDS = {
    access_pb2.RPC_KIND_UNSPECIFIED: RpcKind.STANDARD,
    access_pb2.RPC_KIND_STANDARD: RpcKind.STANDARD,
    access_pb2.RPC_KIND_LOGIN: RpcKind.LOGIN,
    access_pb2.RPC_KIND_AGENT_CALL: RpcKind.AGENT_CALL,
    access_pb2.RPC_KIND_PROBE: RpcKind.PROBE,
}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call an rpc: a user or API key with `scope`, anyone (`open`), or only services of the mesh (`mesh`)."""

    scope: Scope | None
    open: bool
    mesh: bool
    kind: RpcKind
    internal: bool
    """Whether the gateway does not forward it."""


@cache
def access_of(method: str) -> Access:
    """The access of `/package.Service/Method`. Raises LookupError for an unknown method and for one without the option."""
    service, _, name = method.lstrip("/").partition("/")
    return declared(method, descriptor_pool.Default().FindServiceByName(service).methods_by_name[name].GetOptions())


def declared(method: str, options: MethodOptions) -> Access:
    """The access that a method's options declare. Raises LookupError, naming `method`, when they declare none."""
    if not options.HasExtension(access_pb2.access):
        raise LookupError(f"{method} has no option agentmesh.common.v1.access; declare who may call it")
    option = options.Extensions[access_pb2.access]
    caller = option.WhichOneof("caller")
    scope = _SCOPES[option.scope] if caller == "scope" else None
    mesh = caller == "mesh"
    return Access(scope, open=caller == "open", mesh=mesh, kind=_KINDS[option.kind], internal=mesh or option.internal)
