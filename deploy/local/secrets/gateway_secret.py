"""The secret by which the gateway proves to the orchestrators that a call comes through it."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from deploy.local.secrets.secret_files import write_private


@dataclass(frozen=True)
class GatewaySecret:
    """A file that only its owner may read: `GATEWAY_SECRET_FILE` of the orchestrators, and the value of Envoy's header `x-mesh-gateway`."""

    folder: Path

    @property
    def path(self) -> Path:
        """Where the secret is."""
        return self.folder / "gateway.secret"

    def make(self) -> None:
        """Makes the secret on the first start and keeps it after that."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            write_private(self.path, secrets.token_urlsafe(32) + "\n")
