"""The name and version of the project, as pyproject.toml has them. The image, the chart, the command line and the clients share them."""

import tomllib

from deploy.local.bootstrap import PROJECT

VERSION: str = tomllib.loads(PROJECT.read_text())["project"]["version"]
IMAGE = f"agentmesh:{VERSION}"
"""The name and the tag of the image."""
