"""Renders Envoy's bootstrap configuration from the template in this folder."""

import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jinja2

from gateway.envoy import console, sds
from gateway.envoy.contract import allowed_methods, public_rpcs
from gateway.envoy.replies import own_reply
from gateway.envoy.request_rules import request_rules
from mesh.tracing.settings import Sampler, ratio_of

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
"""The paths that Envoy serves itself."""
ASSET_PATHS = "/assets/.+"
"""The paths of the console's assets, a regular expression."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Where the gateway listens, which orchestrators it calls, and its limits. Paths are those that Envoy sees."""

    gateway_port: int = 8000
    admin_port: int = 9901
    """Always on loopback, because anyone who can reach it can stop Envoy."""
    listen_address: str = "127.0.0.1"
    metrics_port: int | None = None
    """Serves the gateway's metrics to Prometheus at `/metrics` of the listen address, without the rest of the admin interface."""
    orchestrators: tuple[tuple[str, int], ...] = (("127.0.0.1", 50051),)
    """Host and port of every orchestrator. A name means all addresses to which DNS resolves it."""
    descriptor_path: Path = GENERATED / "descriptor.binpb"
    openapi_path: Path = GENERATED / "openapi.json"
    lua_path: Path = HERE / "envelope.lua"
    requests_path: Path = HERE / "requests.lua"
    connections_path: Path = GENERATED / "connections.wasm"
    shedding_path: Path = HERE / "shedding.lua"
    console_path: Path | None = None
    """The folder of the published web console, whose layout gateway/envoy/console.py describes. None: no console is served."""
    access_log_path: Path = Path("/dev/stdout")
    per_ip_rate: int = 2000
    """Requests per second that one address may send continuously."""
    per_ip_burst: int = 4000
    """Requests that one address may send in a burst."""
    per_ip_probe_rate: int = 50
    """Calls per second of the kind PROBE (/health, /ready) that one address may send continuously."""
    per_ip_probe_burst: int = 200
    """Calls of the kind PROBE that one address may send in a burst."""
    per_ip_login_rate: int = 5
    """Calls per second of the kind LOGIN (logins, registrations, token refreshes, password changes) that one address may send
    continuously."""
    per_ip_login_burst: int = 300
    """Calls of the kind LOGIN that one address may send in a burst."""
    body_limit_bytes: int = 4 * 1024 * 1024
    """The largest body of a REST request. The orchestrator accepts gRPC messages that are 64 KiB larger. A path whose contract allows
    less accepts less."""
    body_limit_values: int = 30_000
    """The JSON values that the body of a REST request may hold; an empty object or list counts twice. Agent calls may hold 10,000 values
    in their context (LIMIT_CONTEXT_NODES of the orchestrator), and workflows another 15,000 fields."""
    cors_origins: tuple[str, ...] = ()
    """The web origins, other than the gateway's own, whose pages may call the API, such as `https://console.example.com`. The pages of a
    console that is built for another origin (VITE_API_URL) need it."""
    headers_timeout_seconds: float = 10
    """How long a client may take to send a request's headers."""
    request_timeout_seconds: float = 60
    """How long a client may take to send a whole request."""
    call_timeout_seconds: float = 30
    """The timeout of unary rpcs that do not call an agent."""
    agent_timeout_seconds: float = 620
    """The timeout of rpcs that call an agent. Longer than the orchestrator's 600 s, so that the orchestrator's error arrives first."""
    connection_idle_seconds: float = 60
    """How long a connection without requests stays open, whether it has sent anything or not."""
    limit_connections: int = 10_000
    """Connections that may be open at once."""
    limit_connections_of_address: int = 500
    """Connections that one address (IPv6: one /64 network) may have open at once; 0 sets no limit. Ignored behind trusted proxies,
    because all connections then come from a few addresses."""
    stream_idle_seconds: float = 300
    """How long a stream may be silent before it is cut off. The orchestrator sends a heartbeat every 15 s."""

    known_callers: int = 10_000
    """Accepted credentials (their hashes) that each worker thread remembers for a minute: when the platform is overloaded, these callers
    come first."""
    trusted_hops: int = 0
    """The number of trusted proxies in front of the gateway that append to `x-forwarded-for`, such as 1 for a load balancer. The caller's
    address is that many entries from the end of the header; 0 ignores the header. If the number is too high, callers can forge their
    address."""
    gateway_secret_file: Path | None = None
    """The secret by which the gateway authenticates to the orchestrators: their GATEWAY_SECRET_FILE, sent as `x-mesh-gateway`."""
    tls_dir: Path | None = None
    """The folder of the gateway's `tls.crt`, `tls.key` and `ca.crt`. If set, the gateway calls the orchestrators over TLS and verifies
    their certificates."""
    otel_exporter_otlp_endpoint: str = ""
    """The collector of traces, as `http://host:4317`, over gRPC without TLS. Empty: the gateway does not trace."""
    otel_sdk_disabled: bool = False
    """Turns tracing off."""
    otel_traces_sampler: Sampler = "parentbased_always_on"
    """Which requests are traced; see TracingSettings."""
    otel_traces_sampler_arg: float = 1.0
    """The share of requests that are traced by `traceidratio`, from 0 to 1."""
    trust_trace_context: bool = False
    """Whether callers may continue their own traces (`traceparent`), and so decide which of their requests are traced."""
    sds_dir: Path = Path("/etc/envoy/sds")
    """The folder into which `write_sds` writes the files that tell Envoy where its certificates and the gateway's secret are."""

    @property
    def limits_connections_of_address(self) -> bool:
        return self.limit_connections_of_address > 0 and self.trusted_hops == 0

    @property
    def collector(self) -> tuple[str, int] | None:
        """Host and port of the collector, or None. Raises ValueError for an address that is not `http://host:port`."""
        if self.otel_sdk_disabled or not self.otel_exporter_otlp_endpoint:
            return None
        url = urlsplit(self.otel_exporter_otlp_endpoint)
        if url.scheme != "http" or not url.hostname:
            message = "is not supported by the gateway: use http://host:4317, the address of a collector in the same network"
            raise ValueError(f"OTEL_EXPORTER_OTLP_ENDPOINT={self.otel_exporter_otlp_endpoint} {message}")
        return url.hostname, url.port or 4317

    @property
    def trace_ratio(self) -> float:
        """The share of requests that are traced."""
        return ratio_of(self.otel_traces_sampler, self.otel_traces_sampler_arg)

    @property
    def resolves_names(self) -> bool:
        """Whether any orchestrator is given by a DNS name."""
        return not all(_is_address(host) for host, _ in self.orchestrators)


def render_bootstrap(settings: GatewaySettings, *, contract_path: Path | None = None) -> str:
    """The bootstrap configuration of Envoy 1.40 as YAML.

    `contract_path` is the path of the descriptor set for this process, if it differs from the path that Envoy sees.
    """
    contract = contract_path or settings.descriptor_path
    rpcs, rules = public_rpcs(contract), request_rules(contract)
    template = _environment().get_template("bootstrap.yaml.j2")
    own_paths = [*OWN_PATHS, *([ASSET_PATHS] if settings.console_path else [])]
    methods = [*((path, _with_head(methods)) for path, methods in allowed_methods(rpcs)), *((path, ("GET", "HEAD")) for path in own_paths)]
    upstream_tls = sds.upstream(settings.sds_dir) if settings.tls_dir else None
    welcome = json.dumps(WELCOME, indent=2) + "\n"
    return template.render(
        settings=settings,
        rpcs=rpcs,
        request_rules=rules,
        body_limit_of=lambda one: min(one.largest_body or settings.body_limit_bytes, settings.body_limit_bytes),
        allowed_methods=methods,
        welcome=welcome,
        upstream_tls=upstream_tls,
        console_policy=console.POLICY,
        console_headers=console.HEADERS,
        console_content_types=console.CONTENT_TYPES,
        gateway_secret=sds.gateway_secret(settings.sds_dir) if settings.gateway_secret_file else None,
    )


def write_sds(settings: GatewaySettings) -> None:
    """Writes the files that tell Envoy where its certificates and the gateway's secret are, for those that the settings name."""
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
    environment.filters["cel_text"] = lambda text: "'" + text.replace("%", "%%") + "'"
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
