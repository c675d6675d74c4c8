"""The key pair that signs and verifies the call tokens of one stack."""

from dataclasses import dataclass
from pathlib import Path

from deploy.local.secrets.secret_files import write_private
from mesh.security import keys


@dataclass(frozen=True)
class CallKeys:
    """The files of the pair: orchestrators and workers get the private key, agent hosts the public one."""

    folder: Path

    @property
    def private(self) -> Path:
        """The file of the key that signs."""
        return self.folder / "call-token.key"

    @property
    def public(self) -> Path:
        """The file of the key that verifies."""
        return self.folder / "call-token.pub"

    def make(self) -> None:
        """Creates the pair at the first start and keeps it. Only the owner can read the files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.private.exists():
            write_private(self.private, keys.make_pair()[0])
        write_private(self.public, keys.public_pem(keys.read_private(self.private.read_text())))
