"""Java programs for the tests: `python -m deploy.local.tools.java_tools` downloads them with Maven before the tests run."""

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
    """Java or Maven is not installed, so the program cannot be run or downloaded."""


def java() -> Path:
    """The path of the installed Java. Raises NoJava if there is none."""
    found = shutil.which("java")
    if found is None:
        raise NoJava("Kafka needs Java 17 or later, which was not found: install it (on Debian and Ubuntu, openjdk-17-jre-headless)")
    return Path(found)


def kafka() -> Path:
    """The folder with the jars of Kafka, downloaded from Maven Central if necessary. Waits for another process that is downloading them.

    Raises NoJava if Maven or Java is missing, LaunchError if the download fails.
    """
    java()
    folder = TOOLS / f"kafka-{KAFKA_VERSION}"
    if not folder.exists() and shutil.which("mvn") is None:
        raise NoJava("Kafka has not been downloaded, and Maven was not found: install it (on Debian and Ubuntu, the package maven)")
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "kafka.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not folder.exists():
            fetch(folder)
    return folder


def fetch(folder: Path) -> None:
    """Downloads Kafka and its dependencies into a folder, atomically. Raises LaunchError if that fails."""
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    (draft / "pom.xml").write_text(POM)
    command = ["mvn", "--quiet", "--batch-mode", COPY, f"-DoutputDirectory={draft}", "-DincludeScope=runtime"]
    fetched = subprocess.run(command, cwd=draft, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if fetched.returncode != 0:
        raise LaunchError(f"Maven failed to download Kafka: {(fetched.stdout + fetched.stderr).strip()[-500:]}")
    draft.rename(folder)


if __name__ == "__main__":
    try:
        kafka()
    except LaunchError as problem:
        sys.exit(f"agentmesh: {problem}")
