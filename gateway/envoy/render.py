"""Renders Envoy's bootstrap from the template beside this file."""

import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from gateway.envoy import sds
from gateway.envoy.contract import allowed_methods, public_rpcs
from gateway.envoy.replies import own_reply
from gateway.envoy.request_rules import request_rules

HERE = Path(__file__).resolve().parent
GENERATED = HERE.parent.parent / "gen"
WELCOME = {
    "name": "AgentMesh",
    "agents": "/api/v1/agents",
    "categories": "/api/v1/categories",
    "health": "/health",
    "ready": "/ready",
    "openapi": "/openapi.json",
}
OWN_PATHS = ("/", "/openapi.json")
"""What Envoy answers itself, besides errors."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Where the gateway listens, whom it calls and what it lets through. Paths are as Envoy will see them."""

    gateway_port: int = 8000
    admin_port: int = 9901
    """Always on loopback: whoever reaches it can stop Envoy."""
    listen_address: str = "127.0.0.1"
    orchestrators: tuple[tuple[str, int], ...] = (("127.0.0.1", 50051),)
    """Host and port of every orchestrator; a name stands for all addresses that DNS has for it."""
    descriptor_path: Path = GENERATED / "descriptor.binpb"
    openapi_path: Path = GENERATED / "openapi.json"
    lua_path: Path = HERE / "envelope.lua"
    requests_path: Path = HERE / "requests.lua"
    shedding_path: Path = HERE / "shedding.lua"
    access_log_path: Path = Path("/dev/stdout")
    per_ip_rate: int = 2000
    """Requests a second that one address may send for long."""
    per_ip_burst: int = 4000
    """Requests that one address may send at once."""
    per_ip_login_rate: int = 5
    """Calls a second of the kind LOGIN (logins, registrations, refreshed tokens, passwords) that one address may send for long."""
    per_ip_login_burst: int = 300
    """The same, at once."""
    body_limit_bytes: int = 4 * 1024 * 1024
    """The largest body of a REST request; gRPC's own limit at the orchestrator is the same."""
    allowed_origins: str = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
    """Regular expression of the web origins whose pages may call the API."""
    headers_timeout_seconds: float = 10
    """How long a client may take to send a request's headers."""
    request_timeout_seconds: float = 60
    """How long a client may take to send a whole request."""
    call_timeout_seconds: float = 30
    """For unary rpcs that do not have an agent work."""
    agent_timeout_seconds: float = 620
    """For those that do: above the 600 s that the orchestrator grants, so that its answer comes first."""
    connection_idle_seconds: float = 60
    """A connection without a request is closed after this time."""
    stream_idle_seconds: float = 300
    """A stream that says nothing for so long is cut; the orchestrator sends a heartbeat every 15 s."""

    trusted_hops: int = 0
    """How many proxies in front of the gateway append to `x-forwarded-for`, such as 1 for a load balancer. The caller's address is then
    taken from that many entries from its end; 0 ignores the header. With too many, callers can forge their address."""
    gateway_secret_file: Path | None = None
    """The secret by which the gateway proves itself to the orchestrators: their GATEWAY_SECRET_FILE, sent to them as `x-mesh-gateway`."""
    tls_dir: Path | None = None
    """The gateway's `tls.crt`, `tls.key` and `ca.crt`; with it the orchestrators are called by TLS and must prove who they are."""
    sds_dir: Path = Path("/etc/envoy/sds")
    """Where `write_sds` writes the files by which Envoy finds its certificates and the gateway's secret."""

    @property
    def resolves_names(self) -> bool:
        """Whether any orchestrator is given by name."""
        return not all(_is_address(host) for host, _ in self.orchestrators)


def render_bootstrap(settings: GatewaySettings, *, contract_path: Path | None = None) -> str:
    """Envoy 1.40's bootstrap as YAML.

    `contract_path` is where this process reads the descriptor set from, when it sees it elsewhere than Envoy does.
    """
    contract = contract_path or settings.descriptor_path
    rpcs, rules = public_rpcs(contract), request_rules(contract)
    template = _environment().get_template("bootstrap.yaml.j2")
    methods = [*((path, _with_head(methods)) for path, methods in allowed_methods(rpcs)), *((path, ("GET", "HEAD")) for path in OWN_PATHS)]
    upstream_tls = sds.upstream(settings.sds_dir) if settings.tls_dir else None
    welcome = json.dumps(WELCOME, indent=2) + "\n"
    return template.render(
        settings=settings,
        rpcs=rpcs,
        request_rules=rules,
        allowed_methods=methods,
        welcome=welcome,
        upstream_tls=upstream_tls,
        gateway_secret=sds.gateway_secret(settings.sds_dir) if settings.gateway_secret_file else None,
    )


def write_sds(settings: GatewaySettings) -> None:
    """Writes the files by which Envoy finds its certificates and the gateway's secret, where the settings name them."""
    if settings.tls_dir is not None:
        sds.write(settings.sds_dir, settings.tls_dir)
    if settings.gateway_secret_file is not None:
        sds.write_gateway_secret(settings.sds_dir, settings.gateway_secret_file)


def _with_head(methods: Sequence[str]) -> Sequence[str]:
    return sorted({*methods, "HEAD"}) if "GET" in methods else methods


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False
    )
    environment.filters["json"] = _json
    environment.filters["escaped"] = lambda text: text.replace("%", "%%")
    environment.filters["literal"] = lambda text: _json(text.replace("%", "%%"))
    environment.globals["own_reply"] = own_reply
    return environment


def _json(value: Any) -> str:
    return json.dumps(value, default=str)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
