"""The commands of the image. Each is a small program in /usr/local/bin, so that the image needs no shell."""

from pathlib import Path

from deploy.images.tree import write

PYTHON = "/usr/bin/python3.11"
COMMANDS = {
    "orchestrator": "orchestrator.processes.orchestrator",
    "worker": "orchestrator.processes.worker",
    "agent-host": "agent_server.__main__",
    "consumer": "orchestrator.processes.consumer",
    "accounts": "orchestrator.processes.accounts",
    "migrate": "orchestrator.processes.migrate",
    "gateway": "gateway.envoy.__main__",
    "catalogue": "catalogue.__main__",
}
"""The module whose `main` each command calls."""
FOLDER = "usr/local/bin"
HEALTHY = Path(__file__).with_name("healthy.py")


def write_commands(root: Path) -> None:
    """Writes the commands, and `healthy`, which health checks call."""
    for name, module in COMMANDS.items():
        # -P: the folder of the program is not searched for modules.
        write(root / FOLDER / name, f"#!{PYTHON} -P\nimport sys\n\nfrom {module} import main\n\nsys.exit(main())\n", executable=True)
    write(root / FOLDER / "healthy", f"#!{PYTHON} -I\n{HEALTHY.read_text()}", executable=True)
