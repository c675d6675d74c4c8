"""The limit on open files, which 800 ports soon reach."""

import subprocess
import sys

from deploy.local.limits import NEEDED

RAISE = """
import resource
from deploy.local.limits import raise_descriptor_limit
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
raise_descriptor_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def test_a_low_limit_is_raised_to_the_maximum_allowed() -> None:
    ended = subprocess.run([sys.executable, "-c", RAISE], capture_output=True, text=True, check=True, timeout=60)
    assert int(ended.stdout) >= NEEDED


def test_a_process_of_the_platform_raises_its_own_limit() -> None:
    """A container runtime starts it with 1,024."""
    raised = RAISE.replace("deploy.local.limits import raise_descriptor_limit", "mesh.process import raise_open_files")
    code = raised.replace("raise_descriptor_limit()", "raise_open_files()")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert int(ended.stdout) >= NEEDED
