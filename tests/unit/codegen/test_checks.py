"""Every public rpc can be reached over REST, and no request matches two of them."""

import pytest

from protos.codegen.checks import problems
from protos.codegen.contracts import Contracts
from tests.unit.codegen.conftest import Compile

OPEN = "option (agentmesh.common.v1.access) = {open: {}};"
FIELDS = """
  string agent_id = 1 [(buf.validate.field).string.pattern = "^[a-z]+_agent_[0-9]+$"];
  string name = 2;
  int32 number = 3;
  string id = 4 [(buf.validate.field).string.uuid = true];
"""


def service(*rules: str) -> str:
    """A service with one rpc for each rule; all requests have the same fields."""
    rpcs = "".join(
        f"rpc Do{i}(Do{i}Request) returns (Do{i}Response) {{ {OPEN} option (google.api.http) = {{{rule}}}; }}\n"
        for i, rule in enumerate(rules)
    )
    messages = "".join(f"message Do{i}Request {{ {FIELDS} }} message Do{i}Response {{}}\n" for i in range(len(rules)))
    return f"service TestService {{ {rpcs} }}\n{messages}"


def test_the_platforms_routes_have_no_problems(ours: Contracts) -> None:
    assert problems(ours) == []


@pytest.mark.parametrize(
    "paths",
    [
        ('get: "/a"', 'get: "/a"'),
        ('get: "/a/{name}"', 'get: "/a/{agent_id}"'),
        ('get: "/a/{name}/x"', 'get: "/a/{agent_id}/x"'),
        # The literal is a valid value of the variable: an object with that name would be unreachable.
        ('get: "/a/{name}"', 'get: "/a/search"'),
        ('get: "/a/search"', 'get: "/a/{name}"'),
        ('get: "/a/{number}"', 'get: "/a/7"'),
        # Neither route is more specific: routers disagree about /a/search/x, regardless of the fields' rules.
        ('get: "/a/{name}/x"', 'get: "/a/search/{agent_id}"'),
        ('get: "/a/{agent_id}/x"', 'get: "/a/search/{agent_id}"'),
        ('get: "/a" additional_bindings {get: "/b"}', 'get: "/b"'),
        ('post: "/a" body: "*"', 'post: "/a"'),
    ],
)
def test_rpcs_that_match_the_same_request_collide(compiled: Compile, paths: tuple[str, str]) -> None:
    found = problems(compiled(service(*paths)))
    assert len(found) == 1
    assert "can match the same request" in found[0]
    assert "TestService.Do0" in found[0]
    assert "TestService.Do1" in found[0]


@pytest.mark.parametrize(
    "paths",
    [
        ('get: "/a"', 'post: "/a"'),
        ('get: "/a"', 'get: "/b"'),
        ('get: "/a/{name}"', 'get: "/a/{name}/x"'),
        ('get: "/a/{name}/x"', 'get: "/a/{name}/y"'),
        ('get: "/a/{name}"', 'get: "/b/{name}"'),
        # The literal is more specific and not a valid value of the variable: its pattern, type or uuid rule refuses it.
        ('get: "/a/{agent_id}"', 'get: "/a/search"'),
        ('get: "/a/{number}"', 'get: "/a/search"'),
        ('get: "/a/{id}/x"', 'get: "/a/search/x"'),
        # One of two hidden variables refuses its literal, which is enough to make the request unambiguous.
        ('get: "/a/{name}/{agent_id}"', 'get: "/a/b/c"'),
    ],
)
def test_rpcs_with_distinguishable_requests_do_not_collide(compiled: Compile, paths: tuple[str, str]) -> None:
    assert problems(compiled(service(*paths))) == []


def test_a_public_rpc_without_a_route_is_a_problem(compiled: Compile) -> None:
    contracts = compiled(
        f"service S {{ rpc Do(DoRequest) returns (DoResponse) {{ {OPEN} }} }} message DoRequest {{}} message DoResponse {{}}"
    )
    assert problems(contracts) == ["agentmesh.test.v1.S.Do: missing option google.api.http; add it, or declare the rpc internal"]


def test_agent_services_need_no_route(ours: Contracts) -> None:
    names = [service.full_name for service in ours.public_services()]
    assert "agentmesh.execution.v1.ExecutionService" in names
    assert "agentmesh.agent.v1.AgentService" not in names


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ('option (google.api.http) = {get: "/a"};', "declare with the option agentmesh.common.v1.access who may call it"),
        (
            "option (agentmesh.common.v1.access) = {kind: RPC_KIND_LOGIN};",
            "declare with the option agentmesh.common.v1.access who may call it",
        ),
        ("option (agentmesh.common.v1.access) = {mesh: {} kind: RPC_KIND_AGENT_CALL};", "it needs a caller who pays"),
        (
            'option (agentmesh.common.v1.access) = {mesh: {}}; option (google.api.http) = {get: "/a"};',
            "it is internal and has a REST binding",
        ),
        (
            'option (agentmesh.common.v1.access) = {open: {} internal: true}; option (google.api.http) = {get: "/a"};',
            "it is internal and has",
        ),
    ],
)
def test_an_rpc_must_declare_its_access_without_contradiction(compiled: Compile, options: str, complaint: str) -> None:
    found = problems(
        compiled(f"service S {{ rpc Do(DoRequest) returns (DoResponse) {{ {options} }} }} message DoRequest {{}} message DoResponse {{}}")
    )
    assert complaint in found[0]


def test_an_internal_rpc_needs_no_route(compiled: Compile) -> None:
    internal = "option (agentmesh.common.v1.access) = {mesh: {}};"
    contracts = compiled(
        f"service S {{ rpc Do(DoRequest) returns (DoResponse) {{ {internal} }} }} message DoRequest {{}} message DoResponse {{}}"
    )
    assert problems(contracts) == []
    assert "agentmesh.test.v1.S" not in [service.full_name for service in contracts.public_services()]


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ('get: "/a/*"', "unsupported route"),
        ('get: "/a/{name=b/*}"', "unsupported route"),
        ('get: "/a/{name}:cancel"', "unsupported route"),
        ('get: "a"', "unsupported route"),
        ('custom {kind: "HEAD" path: "/a"}', "unsupported route"),
        ('get: "/a" response_body: "x"', "unsupported route"),
        ('get: "/a/{nothing}"', "`nothing` is not a singular field"),
        ('post: "/a" body: "nothing"', "`nothing` is not a singular field"),
    ],
)
def test_a_route_feature_that_the_platform_does_not_use_is_a_problem(compiled: Compile, rule: str, complaint: str) -> None:
    found = problems(compiled(service(rule)))
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize("field", ["google.protobuf.Struct it", "map<string, string> it", "repeated Part it", "DoRequest it"])
def test_a_field_that_path_query_and_body_cannot_carry_is_a_problem(compiled: Compile, field: str) -> None:
    contracts = compiled(
        f"""
        service S {{ rpc Do(DoRequest) returns (DoResponse) {{ {OPEN} option (google.api.http) = {{get: "/a"}}; }} }}
        message Part {{ string text = 1; }}
        message DoRequest {{ {field} = 1; }}
        message DoResponse {{}}
        """
    )
    found = problems(contracts)
    assert len(found) == 1
    assert "cannot be sent in a query" in found[0]


def test_a_path_variable_must_be_a_single_scalar(compiled: Compile) -> None:
    contracts = compiled(
        f"""
        service S {{ rpc Do(DoRequest) returns (DoResponse) {{ {OPEN} option (google.api.http) = {{get: "/a/{{part}}/{{many}}"}}; }} }}
        message Part {{ string text = 1; }}
        message DoRequest {{ Part part = 1; repeated string many = 2; }}
        message DoResponse {{}}
        """
    )
    assert problems(contracts) == [
        "agentmesh.test.v1.S.Do (GET /a/{part}/{many}): `part` is a message, but a path contains scalar values; name one of its fields"
    ]
