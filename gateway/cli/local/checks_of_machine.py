"""Checks of this machine: versions, programs, limits, clock, ports, files, certificates."""

import ctypes
import os
import re
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gateway.cli.local.finding import Finding, good, problem, warning
from gateway.cli.local.platform import launcher
from gateway.cli.profiles import Profiles
from mesh.clock import SYSTEM_CLOCK

DESCRIPTORS = 4096
"""A stack with all agents opens about 2,000 sockets."""
WATCHES = 8192
FREE_BYTES = 2_000_000_000
EXPIRY_DAYS = 14
_UNSYNCHRONISED = 5
"""TIME_ERROR of adjtimex(2)."""
_OPTIONAL = {
    "go": "grpcurl and OPA, which some tests use",
    "java": "the Kafka broker of `agentmesh up --kafka`",
    "mvn": "fetching the Kafka broker",
}


def python() -> Iterator[Finding]:
    """The interpreter is the one that the platform is made for."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        yield good("python", f"Python {found}")
    else:
        yield problem("python", f"Python {found}", "use Python 3.11")


def packages() -> Iterator[Finding]:
    """Every locked package is installed in its locked version."""
    from deploy.local.state import REPOSITORY

    lock = REPOSITORY / "requirements.lock"
    if not lock.exists():  # an installed client
        return
    locked = dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", lock.read_text(), re.MULTILINE))
    wrong = 0
    for name, wanted in locked.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "missing"
        if found != wanted:
            wrong += 1
            yield problem("packages", f"{name} is {found}, locked is {wanted}", "run `make up`, which installs the locked packages")
    if not wrong:
        yield good("packages", f"{len(locked)} packages in their locked versions")


def programs() -> Iterator[Finding]:
    """The servers inside the wheels run; optional programs are found."""
    from deploy.local.placement import installation
    from deploy.local.servers import envoy, redis

    for name, path in (("envoy", envoy.program()), ("redis-server", redis.program()), ("postgres", installation() / "bin" / "postgres")):
        try:
            said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout.strip()
            yield good("programs", said.splitlines()[-1] if said else f"{name} runs")
        except (OSError, subprocess.SubprocessError, IndexError) as error:
            yield problem("programs", f"{name} does not run: {error}", "delete .venv and run `make up`, which installs it again")
    for name, purpose in _OPTIONAL.items():
        if shutil.which(name):
            yield good("programs", f"{name} is installed")
        else:
            yield warning("programs", f"{name} is not installed", f"only needed for {purpose}")


def limits() -> Iterator[Finding]:
    """The limits that a stack with all agents needs."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        yield problem("limits", f"at most {hard} open files", f"raise `ulimit -Hn` to {DESCRIPTORS}")
    else:
        yield good("limits", f"open files: {hard if hard != resource.RLIM_INFINITY else 'unlimited'}")
    watches = Path("/proc/sys/fs/inotify/max_user_watches")
    if watches.exists() and int(watches.read_text()) < WATCHES:
        yield warning("limits", f"at most {watches.read_text().strip()} inotify watches", f"set fs.inotify.max_user_watches to {WATCHES}")


def clock() -> Iterator[Finding]:
    """The kernel's clock is synchronised."""
    buffer = ctypes.create_string_buffer(512)  # struct timex with modes = 0: only reads
    state = ctypes.CDLL(None).adjtimex(buffer)
    if state == _UNSYNCHRONISED:
        yield warning("clock", "this machine's clock is not synchronised", "run an NTP client: tokens depend on the time")
    elif state >= 0:
        yield good("clock", "this machine's clock is synchronised")
    year = SYSTEM_CLOCK.now().year
    if year < 2026:
        yield problem("clock", f"this machine's clock says {year}", "set the clock")


def ports(offset: int) -> Iterator[Finding]:
    """The ports of the stack are free, or the stack itself has them."""
    from deploy.local.errors import LaunchError
    from deploy.local.ports import LocalPorts, is_free, who_has

    try:
        local = LocalPorts.at(offset)
    except LaunchError as error:
        yield problem("ports", str(error), "name another --port-offset")
        return
    if launcher(offset) is not None:
        yield good("ports", "the platform runs and has its ports")
        return
    taken = [(user, port) for user, port in local.main.items() if not is_free(port)]
    for user, port in taken:
        advice = "stop that program, or use another --port-offset"
        yield problem("ports", f"port {port} ({user}) is in use by {who_has(port)}", advice)
    agents = [port for port in local.agents if not is_free(port)]
    if agents:
        advice = "their agents are not served; use another --port-offset"
        yield warning("ports", f"{len(agents)} ports of agents are in use, such as {agents[0]} by {who_has(agents[0])}", advice)
    if not taken and not agents:
        yield good("ports", f"{len(local.every)} ports are free")


def files(offset: int, profiles: Profiles) -> Iterator[Finding]:
    """There is free space, and no secret can be read by others."""
    from deploy.local.state import REPOSITORY, StateFolder

    free = shutil.disk_usage(REPOSITORY).free
    if free < FREE_BYTES:
        yield problem("files", f"{free / 1e9:.1f} GB free on the disk of {REPOSITORY}", f"free at least {FREE_BYTES / 1e9:g} GB")
    else:
        yield good("files", f"{free / 1e9:.0f} GB free")
    folder = StateFolder.of_offset(offset).path
    secrets = [folder / "token", folder / "jwt_secret", *(profiles.folder / "profiles").glob("*.json")]
    for path in secrets:
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield problem("files", f"others can read {path}", f"run `chmod 600 {path}`, and replace the secret")
    if folder.exists() and folder.stat().st_uid != os.geteuid():
        yield problem("files", f"{folder} belongs to another user", "run the platform as that user, or delete it with `make clean`")


def certificates(offset: int) -> Iterator[Finding]:
    """The certificates of a stack with TLS are valid for a while."""
    from cryptography import x509

    from deploy.local.state import StateFolder

    for path in sorted((StateFolder.of_offset(offset).path / "certs").rglob("*.crt")):
        try:
            found = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as error:
            yield problem("certificates", f"{path} cannot be read: {error}", "run `make certs`")
            continue
        days = (found.not_valid_after_utc - SYSTEM_CLOCK.now()).days
        if days < EXPIRY_DAYS:
            yield problem("certificates", f"{path} expires in {days} days", "run `make certs`, which a running stack notices")
        else:
            yield good("certificates", f"{path} is valid for {days} days")
