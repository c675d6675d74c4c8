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
