"""The limit on open files and sockets of the stack's programs."""

import resource

from deploy.local.errors import LaunchError

WANTED = 65_536
NEEDED = 2048
"""An agent host listens on 800 ports; the others are for callers and for calls to the provider."""


def raise_descriptor_limit() -> None:
    """Raises the limit of this process, which its children inherit, as far as allowed. Raises LaunchError if that is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < WANTED:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (WANTED, WANTED))
        except (ValueError, OSError):  # only root may raise the hard limit, and not in every container
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    elif soft < WANTED:
        resource.setrlimit(resource.RLIMIT_NOFILE, (WANTED, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < NEEDED:
        raise LaunchError(
            f"the limit on open files is {soft}, and the agents' 800 ports need {NEEDED}: raise it (as root, `ulimit -Hn {NEEDED}`)"
        )
