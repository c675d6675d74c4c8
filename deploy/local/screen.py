"""The output of `make up`: progress while the stack starts, and commands to try when it runs."""

import shlex
from contextlib import suppress
from pathlib import Path

from deploy.local.secrets.credentials import ADMINISTRATOR
from deploy.local.stack import DisabledPort, Stack
from deploy.local.supervision.probe import http_status
from mesh.clock import SYSTEM_CLOCK

EXAMPLE_AGENT = "marketing_content_strategist_agent_1_11"
EXAMPLE_INPUT = '{"input": "Plan the content of a bakery that opens in spring"}'
EXAMPLE_AGENT_PORT = 8211


class Screen:
    """Writes plain lines with the seconds since the start, to a terminal or a file."""

    def __init__(self, began: float) -> None:
        self._began = began

    def step(self, text: str) -> None:
        """Writes a line of progress."""
        self.show(f"[{self.seconds:6.1f} s] {text}")

    def show(self, text: str) -> None:
        """Writes text. A closed terminal is not an error, because the stack must still be stopped."""
        with suppress(OSError):
            print(text, flush=True)

    @property
    def seconds(self) -> float:
        """The time since `began`, which is a reading of the monotonic clock."""
        return SYSTEM_CLOCK.monotonic() - self._began


async def start_screen(stack: Stack, seconds: float, console: str) -> str:
    """The page shown when the stack is ready, `seconds` after the command. `console` says how far the web console is."""
    served = stack.served()
    hosts = len(stack.ports.agent_metrics)
    title = f"AgentMesh is up after {seconds:.1f} s: {served.agents} agents on {served.ports} ports, {hosts} agent host{'s' * (hosts > 1)}."
    disabled = "\n".join(map(disabled_port, served.disabled))
    pages = [title, disabled, addresses(stack, console), provider(stack), login(stack), await first_commands(stack), whereabouts(stack)]
    return "\n" + "\n\n".join(filter(None, pages)) + "\n"


def addresses(stack: Stack, console: str) -> str:
    """The addresses of the stack."""
    ports = stack.ports
    rows = [
        ("web console", f"{stack.gateway_url}  ({console})"),
        ("REST, gRPC, gRPC-Web", f"{stack.gateway_url}  (contract: {stack.gateway_url}/openapi.json)"),
        ("orchestrator, gRPC", stack.orchestrator_target),
        ("agents, gRPC", f"localhost:{ports.agents[0]} to {ports.agents[-1]}"),
        *([("Kafka", stack.kafka.bootstrap_servers)] if stack.kafka else []),
        ("Envoy admin", f"http://localhost:{ports.envoy_admin}"),
        (
            "Prometheus",
            ", ".join(
                f"http://localhost:{port}/metrics" for port in (*ports.orchestrator_metrics, *ports.worker_metrics, *ports.agent_metrics)
            ),
        ),
    ]
    return "\n".join(f"  {what:<21} {where}" for what, where in rows)


def provider(stack: Stack) -> str:
    """The provider of the answers."""
    if stack.simulated:
        return (
            "Answers come from the local simulator of the Messages API, and say so in metadata.provider.\n"
            "To talk to Claude: ANTHROPIC_API_KEY=... make up"
        )
    return "Answers come from Anthropic (ANTHROPIC_API_KEY is set). For the local simulator: unset ANTHROPIC_API_KEY"


def login(stack: Stack) -> str:
    """The credentials of the first administrator."""
    ready = f"An API key of the administrator `{ADMINISTRATOR}`, for your first calls: {short(stack.credentials.token_file)}"
    first = stack.first_login
    if first is None:
        return ready
    return f"The first administrator is `{first.username}`, with the password {first.password} (shown this once).\n{ready}"


def disabled_port(disabled: DisabledPort) -> str:
    """The agents that are not served, and why."""
    count = len(disabled.agents)
    who = "1 agent is" if count == 1 else f"{count} agents are"
    return f"  ! port {disabled.port}: {disabled.why}; {who} not served: {', '.join(disabled.agents)}"


async def first_commands(stack: Stack) -> str:
    """Commands to try; those for one agent only if it is served."""
    url, offset = stack.gateway_url, stack.ports.offset
    agent = f"/api/v1/agents/{EXAMPLE_AGENT}"
    known = await http_status(stack.ports.gateway, agent, token=stack.credentials.token) == 200
    as_admin = f'-H "authorization: Bearer $(cat {shlex.quote(short(stack.credentials.token_file))})"'
    commands = [f"curl {as_admin} '{url}/api/v1/agents?search=editorial%20calendar&limit=3'"]
    if known:
        commands += [f"curl {as_admin} {url}{agent}/execute -d '{EXAMPLE_INPUT}'"]
        commands += [f"curl {as_admin} -N {url}{agent}/stream -d '{EXAMPLE_INPUT}'"]
    commands.append(f"grpcurl -plaintext localhost:{stack.ports.gateway} list")
    if known:
        request = f'-d \'{{"agent_id": "{EXAMPLE_AGENT}"}}\''
        port = EXAMPLE_AGENT_PORT + offset
        commands.append(f"grpcurl {agent_tls(stack)} {request} localhost:{port} agentmesh.agent.v1.AgentService/Describe")
    return "Try:\n" + "\n".join(f"  {command}" for command in commands)


def agent_tls(stack: Stack) -> str:
    """The options of grpcurl for the ports of agents."""
    if stack.certificates is None:
        return "-plaintext"
    own = short(stack.certificates / "gateway")
    return f"-cacert {own}/ca.crt -cert {own}/tls.crt -key {own}/tls.key"


def whereabouts(stack: Stack) -> str:
    """Where logs and data are, and how to stop."""
    return f"Logs: {short(stack.state.path / 'logs')}   data: {short(stack.state.path)} (removed by `make clean`)\nCtrl-C stops everything."


def short(path: Path) -> str:
    """The path relative to the working directory if it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
