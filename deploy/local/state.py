"""The state folder of a local stack: its data, logs and secrets, and the lock that admits one launcher.

It is `.agentmesh/` in the root of the repository, or `.agentmesh/offset-N/` for `PORT_OFFSET=N`. Only its owner can read its files.

    lock                     held by the launcher; contains its process id
    logs/<process>.log       the output of each process
    run/<process>.pid        the running processes; run/<process>.ready.json their ready files
    certs/                   with TLS=1: a development authority, and a certificate for each service
    keys/                    by which the programs recognise one another, created at the first start
    postgres/ redis/         data and passwords (as root PostgreSQL's data may lie in /var/tmp: postgres/placed-outside.txt)
    simulator/ envoy/        the simulator's log of requests; Envoy's bootstrap
    console/                 the web console that the gateway serves; console-builds/ has the last builds, for all stacks
    jwt_secret token         the secret that signs access tokens; an API key of the first administrator
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LaunchError
from deploy.local.supervision.traces import Traces

REPOSITORY = Path(__file__).resolve().parents[2]
HOME = REPOSITORY / ".agentmesh"
LOG_BYTES = 10_000_000


@dataclass(frozen=True)
class StateFolder:
    """The paths in one stack's state folder."""

    path: Path

    @classmethod
    def of_offset(cls, port_offset: int) -> "StateFolder":
        """The folder of the stack that `make up PORT_OFFSET=N` runs."""
        return cls(HOME / f"offset-{port_offset}" if port_offset else HOME)

    def folder(self, name: str) -> Path:
        """The folder of one server."""
        return self.path / name

    def log(self, process: str) -> Path:
        """The log of a process."""
        return self.path / "logs" / f"{process}.log"

    def ready_file(self, process: str) -> Path:
        """The ready file of a process."""
        return self.path / "run" / f"{process}.ready.json"

    def traces(self, process: str) -> Traces:
        """The log and the pid file of a process."""
        return Traces(self.log(process), self.path / "run" / f"{process}.pid")

    def create(self) -> None:
        """Makes the folders, which other users of the machine cannot read. Raises LaunchError if they belong to another user."""
        try:
            for name in ("logs", "run"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
                (self.path / name).chmod(0o700)
            self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)  # as root, PostgreSQL's user must reach its data below
            for log in (self.path / "logs").iterdir():
                log.chmod(0o600)  # written by an earlier version
        except OSError as error:
            raise LaunchError(
                f"cannot write to {self.path}: {error.strerror}; if another user ran the stack, that user can delete it with `make clean`"
            ) from None

    def rotate_logs(self) -> None:
        """Renames long logs of earlier runs to .log.1, replacing older ones; to be called while nothing runs."""
        for log in (self.path / "logs").glob("*.log"):
            if log.stat().st_size > LOG_BYTES:
                log.replace(log.with_suffix(".log.1"))

    @contextmanager
    def locked(self, facts: Mapping[str, str]) -> Iterator[None]:
        """Holds the lock, which contains the facts. Raises LaunchError if another launcher holds it. It ends with the process."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take(descriptor)
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": str(os.getpid()), **facts}).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = ", ".join(f"{name} {value}" for name, value in self._holder(descriptor).items())
            raise LaunchError(
                f"a stack already runs from {self.path} ({holder}): stop it, or run a second stack with `make up PORT_OFFSET=N`"
            ) from None

    def _holder(self, descriptor: int) -> Mapping[str, str]:
        try:
            facts: dict[str, str] = json.loads(os.pread(descriptor, 4096, 0))
        except ValueError:  # the holder has not written yet
            return {"pid": "unknown"}
        return facts
