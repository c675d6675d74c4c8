"""Java programs that the tests use, fetched with Maven: `python -m deploy.local.tools.java_tools` fetches them ahead of the tests."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local.errors import LaunchError
from deploy.local.tools.go_tools import INSTALL_SECONDS, TOOLS

KAFKA_VERSION = "4.1.1"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>agentmesh.local</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""


class NoJava(LaunchError):
    """This machine cannot run the program, or not fetch it."""


def java() -> Path:
    """The Java of this machine. NoJava when there is none."""
    found = shutil.which("java")
    if found is None:
        raise NoJava("Kafka needs Java 17 or newer, and there is none: install it (Debian and Ubuntu: openjdk-17-jre-headless)")
    return Path(found)


def kafka() -> Path:
    """The folder of the jars of the real Kafka, fetched from Maven Central first if need be; waits for another process that does so.

    NoJava where that is not possible, LaunchError when it fails.
    """
    java()
    folder = TOOLS / f"kafka-{KAFKA_VERSION}"
    if not folder.exists() and shutil.which("mvn") is None:
        raise NoJava("Kafka is not installed, and there is no Maven to fetch it with (Debian and Ubuntu: the package maven)")
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "kafka.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not folder.exists():
            fetch(folder)
    return folder


def fetch(folder: Path) -> None:
    """Brings Kafka with all that it needs into a folder, whole or not at all."""
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    (draft / "pom.xml").write_text(POM)
    command = ["mvn", "--quiet", "--batch-mode", COPY, f"-DoutputDirectory={draft}", "-DincludeScope=runtime"]
    fetched = subprocess.run(command, cwd=draft, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if fetched.returncode != 0:
        raise LaunchError(f"Maven cannot fetch Kafka: {(fetched.stdout + fetched.stderr).strip()[-500:]}")
    draft.rename(folder)


if __name__ == "__main__":
    try:
        kafka()
    except LaunchError as problem:
        sys.exit(f"agentmesh: {problem}")
