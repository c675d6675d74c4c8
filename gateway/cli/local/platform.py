"""`up`, `down` and `status`: the platform of this machine."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.application import Group, Output, examples, printer_of, settings_of
from gateway.cli.errors import CliError
from gateway.cli.exits import Exit
from gateway.cli.rendering import Format, hint
from mesh.clock import SYSTEM_CLOCK

app = typer.Typer(cls=Group)
Offset = Annotated[int, typer.Option("--port-offset", min=0, help="Of a second stack, whose ports are all so much higher.")]
READY_SECONDS = 300.0
STOP_SECONDS = 60.0
_POLL_SECONDS = 0.2


@app.command(epilog=examples("agentmesh up", "agentmesh up --detach", "agentmesh up --port-offset 10000 --tls"))
def up(
    port_offset: Offset = 0,
    shards: Annotated[int, typer.Option("--shards", min=1, help="Agent host processes that share the agents.")] = 1,
    tls: Annotated[bool, typer.Option("--tls", help="mTLS between the services.")] = False,
    kafka: Annotated[bool, typer.Option("--kafka", help="Also publish events to a Kafka broker (needs Java and Maven).")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when the platform is ready.")] = False,
) -> None:
    """Run the whole platform on this machine until Ctrl-C."""
    from deploy.local.__main__ import main

    arguments = ["up", "--port-offset", str(port_offset), "--shards", str(shards), *["--tls"] * tls, *["--kafka"] * kafka]
    if detach:
        _detach(arguments, port_offset)
    elif code := main(arguments):
        raise typer.Exit(code)


@app.command(epilog=examples("agentmesh down", "agentmesh down --port-offset 10000"))
def down(port_offset: Offset = 0) -> None:
    """Stop the platform of this machine. Its data is kept."""
    holder = launcher(port_offset)
    if holder is None:
        hint("Nothing is running.")
        return
    pid = int(holder["pid"])
    os.kill(pid, signal.SIGTERM)
    if not _within(STOP_SECONDS, lambda: launcher(port_offset) is None):
        message = f"the platform (pid {pid}) has not stopped within {STOP_SECONDS:g} s"
        raise CliError(message, "see the logs that `agentmesh status` names, or run `agentmesh down` again to stop it at once")
    hint("Stopped.")


@app.command()
def status(context: typer.Context, port_offset: Offset = 0, output: Output = Format.TABLE) -> None:
    """Show whether the platform of this machine runs: its processes, addresses and components."""
    from deploy.local.ports import LocalPorts
    from deploy.local.state import StateFolder
    from deploy.local.supervision.leftovers import still_running

    printer = printer_of(context, output)
    folder, holder = StateFolder.of_offset(port_offset), launcher(port_offset)
    if holder is None:
        raise CliError("the platform of this machine does not run", "start it with `agentmesh up`", Exit.UNHEALTHY)
    ports = LocalPorts.at(port_offset)
    server = f"http://localhost:{ports.gateway}"
    processes = {file.stem: still_running(file) for file in sorted((folder.path / "run").glob("*.pid"))}
    ready, components = readiness(server)
    facts: dict[str, Any] = {
        "ready": ready,
        "launcher": int(holder["pid"]),
        "gateway": server,
        "orchestrator": f"localhost:{ports.orchestrator}",
        "processes": processes,
        "components": components,
        "logs": str(folder.path / "logs"),
    }
    pairs = [
        ("platform", "ready" if ready else "not ready"),
        ("gateway", f"{server} (console, REST, gRPC)"),
        ("orchestrator", facts["orchestrator"]),
        ("launcher", f"pid {holder['pid']}"),
        *((name, f"pid {pid}" if pid else "stopped") for name, pid in processes.items()),
        *((f"component {name}", state) for name, state in components.items()),
        ("logs", facts["logs"]),
    ]
    if printer.documents:
        printer.document(facts)
    else:
        printer.pairs(pairs)
    if not ready:
        settings_of(context).format = Format.TABLE
        raise CliError("the platform is not ready", "see its logs, and run `agentmesh doctor`", Exit.UNHEALTHY)


def launcher(port_offset: int) -> Mapping[str, str] | None:
    """What the launcher of the running stack wrote into its lock; None if no stack runs at that offset."""
    from deploy.local.state import StateFolder

    try:
        descriptor = os.open(StateFolder.of_offset(port_offset).path / "lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def readiness(server: str) -> tuple[bool, dict[str, str]]:
    """Whether the platform at this address is ready, and the state of its components."""
    import grpc
    from agentmesh.health.v1 import health_service_pb2 as pb
    from agentmesh.health.v1.health_service_pb2_grpc import HealthServiceStub

    from gateway.cli.connection import failure, open_channel

    stub = HealthServiceStub(open_channel(server, "", None))
    try:
        answer = stub.GetReadiness(pb.GetReadinessRequest(), timeout=5)
    except grpc.RpcError as error:
        return False, {"gateway": failure(error, server).message}
    components = {one.name: "available" if one.available else f"unavailable: {one.detail}" for one in answer.components}
    return answer.status == "ready", components


def _holder(descriptor: int) -> Mapping[str, str]:
    def facts() -> bool:
        return b"}" in os.pread(descriptor, 4096, 0)

    if not _within(2, facts):
        raise CliError("the platform is just starting or stopping", "run the command again in a moment", Exit.UNAVAILABLE)
    holder: Mapping[str, str] = json.loads(os.pread(descriptor, 4096, 0))
    return holder


def _detach(arguments: list[str], port_offset: int) -> None:
    """Starts the launcher as a process of its own, and shows its screen until it is ready. Raises CliError if it ends before that."""
    from deploy.local.ports import LocalPorts
    from deploy.local.state import REPOSITORY, StateFolder

    if (holder := launcher(port_offset)) is not None:
        raise CliError(f"the platform already runs (pid {holder['pid']})", "stop it with `agentmesh down`", Exit.CONFLICT)
    folder = StateFolder.of_offset(port_offset)
    folder.create()
    screen = folder.log("launcher")
    with open(os.open(screen, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local", *arguments],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = f"http://localhost:{LocalPorts.at(port_offset).gateway}"
    shown = _Shown(screen)
    if not _within(READY_SECONDS, lambda: shown.more() or process.poll() is not None or "Ctrl-C stops everything." in shown.text):
        raise CliError(f"{server} was not ready within {READY_SECONDS:g} s", f"see {screen}", Exit.UNAVAILABLE)
    if process.poll() is not None:
        raise CliError("the platform has stopped", f"see {screen}", Exit.UNHEALTHY)
    hint("It runs in the background: `agentmesh status` shows it, `agentmesh down` stops it.")


class _Shown:
    """The launcher's screen, printed as it grows."""

    def __init__(self, path: Path) -> None:
        self.text = ""
        self._path = path

    def more(self) -> bool:
        """Prints what is new. Never done."""
        text = self._path.read_text(errors="replace")
        hint_text = text[len(self.text) :]
        if hint_text:
            typer.echo(hint_text, err=True, nl=False)
        self.text = text
        return False


def _within(seconds: float, condition: Any) -> bool:
    deadline = SYSTEM_CLOCK.monotonic() + seconds
    while not condition():
        if SYSTEM_CLOCK.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
