"""Finds problems that buf's lint does not: rpcs that REST clients cannot reach, or not unambiguously."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor

from protos.codegen.contracts import ACCESS, ContractError, Contracts
from protos.codegen.routes import Route, is_variable, routes_of


def problems(contracts: Contracts) -> list[str]:
    """One sentence for each problem with the routes. Empty if every public rpc can be reached."""
    found = [problem for service in contracts.services() for rpc in service.methods for problem in _access_problems(contracts, rpc)]
    routes: list[Route] = []
    for service in contracts.public_services():
        for rpc in contracts.public_rpcs(service):
            try:
                of_rpc = routes_of(contracts, rpc)
                for route in of_rpc:
                    route.verify()
            except ContractError as error:
                found.append(str(error))
            else:
                routes += of_rpc
    pairs = combinations(routes, 2)
    return found + [f"{a} and {b} can match the same request; change one of the paths" for a, b in pairs if collide(contracts, a, b)]


def _access_problems(contracts: Contracts, rpc: MethodDescriptor) -> Iterator[str]:
    """The problems with the access declaration of an rpc."""
    access = contracts.access(rpc)
    if access is None or access.WhichOneof("caller") is None:
        yield f"{rpc.full_name}: declare with the option {ACCESS} who may call it: a scope, open, or mesh"
        return
    kind = access.DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number[access.kind].name
    if kind == "RPC_KIND_AGENT_CALL" and access.WhichOneof("caller") != "scope":
        yield f"{rpc.full_name}: {kind} costs money, so it needs a caller who pays: declare a scope"
    if contracts.is_internal(rpc) and contracts.option(rpc, "google.api.http") is not None:
        yield f"{rpc.full_name}: it is internal and has a REST binding; remove one of the two"


def collide(contracts: Contracts, a: Route, b: Route) -> bool:
    """Whether a router could pass the same request to either route.

    Two routes overlap when their HTTP methods are equal, their paths have equally many segments, and no position holds two
    different literals: a variable matches any one segment. Overlapping routes collide, unless both of these hold:

    1. One is the more specific one: wherever they differ, it has the literal and the other the variable. Then every router
       that prefers literals to variables chooses it, regardless of the order of declaration. `/a/{x}/c` and `/a/b/{y}`
       do collide: each is more specific at one position, and routers disagree about `/a/b/c`.
    2. The rules of at least one field behind those variables refuse the literal. Then no valid value is out of reach: an
       agent id has a pattern, so `/agents/search` may be declared beside `/agents/{agent_id}`. If any text were a valid
       workflow id, the workflow `search` could never be fetched.
    """
    if a.method != b.method or not _overlap(a, b):
        return False
    for specific, general in ((a, b), (b, a)):
        pairs = list(zip(specific.segments, general.segments, strict=True))
        literal_for_variable = [(x, y[1:-1]) for x, y in pairs if is_variable(y) and not is_variable(x)]
        variable_for_literal = any(is_variable(x) and not is_variable(y) for x, y in pairs)
        if literal_for_variable and not variable_for_literal:
            return not any(_refuses(contracts, general, variable, literal) for literal, variable in literal_for_variable)
    return True


def _overlap(a: Route, b: Route) -> bool:
    if len(a.segments) != len(b.segments):
        return False
    return all(x == y or is_variable(x) or is_variable(y) for x, y in zip(a.segments, b.segments, strict=True))


def _refuses(contracts: Contracts, route: Route, variable: str, text: str) -> bool:
    """Whether `text` is not a valid value of the request field that the route's variable fills."""
    value: Any = text
    for name in reversed(variable.split(".")):
        value = {name: value}
    try:
        request = json_format.ParseDict(value, contracts.new(route.rpc.input_type))
    except json_format.ParseError:
        return True
    return variable in contracts.broken(request)
