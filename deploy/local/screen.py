"""What `make up` shows: progress while the stack starts, and what to do with it once it runs."""

import shlex
import time
from contextlib import suppress
from pathlib import Path

from deploy.local.secrets.credentials import ADMINISTRATOR
from deploy.local.stack import DisabledPort, Stack
from deploy.local.supervision.probe import http_status

EXAMPLE_AGENT = "marketing_content_strategist_agent_1_11"
EXAMPLE_INPUT = '{"input": "Plan the content of a bakery that opens in spring"}'
EXAMPLE_AGENT_PORT = 8211


class Screen:
    """Plain lines, each with the seconds since the start; the same on a terminal and in a file."""

    def __init__(self, began: float) -> None:
        self._began = began

    def step(self, text: str) -> None:
        """Tells what has just happened."""
        self.show(f"[{self.seconds:6.1f} s] {text}")

    def show(self, text: str) -> None:
        """Shows it, if anybody still looks: when the terminal is gone there is a stack to stop all the same."""
        with suppress(OSError):
            print(text, flush=True)

    @property
    def seconds(self) -> float:
        """Since `began`, which is in the seconds of `time.monotonic`."""
        return time.monotonic() - self._began


async def start_screen(stack: Stack, seconds: float) -> str:
    """The page that a user sees when the stack is ready, `seconds` after it was asked for."""
    served = stack.served()
    hosts = len(stack.ports.agent_metrics)
    title = f"AgentMesh is up after {seconds:.1f} s: {served.agents} agents on {served.ports} ports, {hosts} agent host{'s' * (hosts > 1)}."
    disabled = "\n".join(map(disabled_port, served.disabled))
    pages = [title, disabled, doors(stack), provider(stack), login(stack), await first_commands(stack), whereabouts(stack)]
    return "\n" + "\n\n".join(filter(None, pages)) + "\n"


def doors(stack: Stack) -> str:
    """Where it can be reached."""
    ports = stack.ports
    rows = [
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
    """Who answers."""
    if stack.simulated:
        return (
            "Answers come from the local simulator of the Messages API, and say so in metadata.provider.\n"
            "To talk to Claude: ANTHROPIC_API_KEY=... make up"
        )
    return "Answers come from Anthropic (ANTHROPIC_API_KEY is set). For the local simulator: unset ANTHROPIC_API_KEY"


def login(stack: Stack) -> str:
    """Who can come in: the first administrator, and whoever reads the ready key."""
    ready = f"An API key of the administrator `{ADMINISTRATOR}`, for your first calls: {short(stack.credentials.token_file)}"
    first = stack.first_login
    if first is None:
        return ready
    return f"The first administrator is `{first.username}`, with the password {first.password} (shown this once).\n{ready}"


def disabled_port(disabled: DisabledPort) -> str:
    """Which agents are not there, and why."""
    count = len(disabled.agents)
    who = "1 agent is" if count == 1 else f"{count} agents are"
    return f"  ! port {disabled.port}: {disabled.why}; {who} not served: {', '.join(disabled.agents)}"


async def first_commands(stack: Stack) -> str:
    """Commands that work now; those for one agent only where the shipped definitions are served."""
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
        commands.append(f"grpcurl {agents_door(stack)} localhost:{EXAMPLE_AGENT_PORT + offset} agentmesh.agent.v1.AgentService/Describe")
    return "Try:\n" + "\n".join(f"  {command}" for command in commands)


def agents_door(stack: Stack) -> str:
    """What grpcurl must be told to reach an agent's own port."""
    if stack.certificates is None:
        return "-plaintext"
    own = short(stack.certificates / "gateway")
    return f"-cacert {own}/ca.crt -cert {own}/tls.crt -key {own}/tls.key"


def whereabouts(stack: Stack) -> str:
    """Where it keeps things, and how it ends."""
    return f"Logs: {short(stack.state.path / 'logs')}   data: {short(stack.state.path)} (removed by `make clean`)\nCtrl-C stops everything."


def short(path: Path) -> str:
    """The path as one would type it here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
