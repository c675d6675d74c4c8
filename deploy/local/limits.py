"""How many files and sockets the programs of a stack may have open."""

import resource

from deploy.local.errors import LaunchError

WANTED = 65_536
NEEDED = 2048
"""An agent host listens on 800 ports before its first caller; the rest are callers, and calls to the provider."""


def raise_descriptor_limit() -> None:
    """Raises our limit, which every program we start inherits, as far as we may. LaunchError when that is not enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < WANTED:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (WANTED, WANTED))
        except (ValueError, OSError):  # only root may, and not in every container
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    elif soft < WANTED:
        resource.setrlimit(resource.RLIMIT_NOFILE, (WANTED, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < NEEDED:
        raise LaunchError(
            f"only {soft} files may be open here and the agents' 800 ports need {NEEDED}: raise the limit (`ulimit -Hn {NEEDED}`, as root)"
        )
