"""`python -m orchestrator`: one orchestrator."""

from mesh.process import run_process
from orchestrator.app import run
from orchestrator.settings import OrchestratorSettings


def main() -> None:
    """Serves until told to stop."""
    run_process("orchestrator", OrchestratorSettings, lambda: run)


if __name__ == "__main__":
    main()
