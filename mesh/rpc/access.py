"""Who may call which rpc, as the contracts say it (`agentmesh.common.v1.access`)."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from agentmesh.common.v1 import access_pb2
from google.protobuf import descriptor_pool

from mesh.security.caller import Scope

_SCOPES = {
    access_pb2.ACCESS_SCOPE_READ: Scope.READ,
    access_pb2.ACCESS_SCOPE_EXECUTE: Scope.EXECUTE,
    access_pb2.ACCESS_SCOPE_MANAGE: Scope.MANAGE,
}


class LimitClass(StrEnum):
    """By which limit a call is counted."""

    STANDARD = "standard"
    LOGIN = "login"
    AGENT_CALL = "agent_call"
    PROBE = "probe"


_LIMITS = {
    access_pb2.LIMIT_CLASS_UNSPECIFIED: LimitClass.STANDARD,
    access_pb2.LIMIT_CLASS_STANDARD: LimitClass.STANDARD,
    access_pb2.LIMIT_CLASS_LOGIN: LimitClass.LOGIN,
    access_pb2.LIMIT_CLASS_AGENT_CALL: LimitClass.AGENT_CALL,
    access_pb2.LIMIT_CLASS_PROBE: LimitClass.PROBE,
}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call an rpc: a user or key with `scope`, everybody (`open`), or services of the mesh alone (`mesh`)."""

    scope: Scope | None
    open: bool
    mesh: bool
    limit: LimitClass


@cache
def access_of(method: str) -> Access:
    """What the contract says of `/package.Service/Method`. LookupError for a method that it does not know, or says nothing of."""
    service, _, name = method.lstrip("/").partition("/")
    descriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    options = descriptor.GetOptions()
    if not options.HasExtension(access_pb2.access):
        raise LookupError(f"{method} does not say who may call it")
    said = options.Extensions[access_pb2.access]
    kind = said.WhichOneof("caller")
    scope = _SCOPES[said.scope] if kind == "scope" else None
    return Access(scope, open=kind == "open", mesh=kind == "mesh", limit=_LIMITS[said.limit])
