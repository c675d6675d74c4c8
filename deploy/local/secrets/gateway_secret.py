"""The secret by which the gateway authenticates to the orchestrators."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from deploy.local.secrets.secret_files import write_private


@dataclass(frozen=True)
class GatewaySecret:
    """A file that only its owner can read: the orchestrators' `GATEWAY_SECRET_FILE`, which Envoy sends in the header `x-mesh-gateway`."""

    folder: Path

    @property
    def path(self) -> Path:
        """The file with the secret."""
        return self.folder / "gateway.secret"

    def make(self) -> None:
        """Creates the secret at the first start and keeps it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            write_private(self.path, secrets.token_urlsafe(32) + "\n")
