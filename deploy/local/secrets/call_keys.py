"""The pair of keys behind the call tokens of one stack."""

from dataclasses import dataclass
from pathlib import Path

from deploy.local.secrets.secret_files import write_private
from mesh.security import keys


@dataclass(frozen=True)
class CallKeys:
    """The two files: the private key is for those who call agents, the public one for the agents' hosts."""

    folder: Path

    @property
    def private(self) -> Path:
        """Where the key that mints is."""
        return self.folder / "call-token.key"

    @property
    def public(self) -> Path:
        """Where the key that checks is."""
        return self.folder / "call-token.pub"

    def make(self) -> None:
        """Makes the pair at the first start and keeps it from then on; each file is readable by its owner alone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.private.exists():
            write_private(self.private, keys.make_pair()[0])
        write_private(self.public, keys.public_pem(keys.read_private(self.private.read_text())))
