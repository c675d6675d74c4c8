"""Kafka from the jars of Maven Central: a single broker in a folder, on TCP on loopback."""

import os
from collections.abc import Mapping
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.ports import is_free
from deploy.local.secrets.secret_files import write_private
from deploy.local.supervision.process import Process, ProcessSpec, run
from deploy.local.supervision.traces import Traces
from deploy.local.tools.java_tools import java, kafka

CLUSTER = "YWdlbnRtZXNoLWxvY2FsIQ"
"""Sixteen bytes in Kafka's encoding."""
JVM = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
"""Uses little memory and starts in a few seconds."""


class KafkaServer:
    """A broker with its data in `folder`, which is created at the first start and kept. Its controller listens on `controller_port`.

    Raises NoJava if this machine cannot run it.
    """

    def __init__(self, folder: Path, port: int, controller_port: int, *, traces: Traces | None = None) -> None:
        self.port = port
        self._controller_port = controller_port
        self._folder = folder.resolve()
        self.process = Process(
            ProcessSpec(
                name="kafka",
                command=self._java("kafka.Kafka", str(self._properties)),
                traces=traces or Traces(folder / "kafka.log"),
                ready=self._ready,
                environment={"PATH": os.defpath},
                prepare=self._prepare,
            )
        )

    async def start(self) -> None:
        await self.process.start()

    async def stop(self) -> None:
        await self.process.stop()

    @property
    def bootstrap_servers(self) -> str:
        """The value of `KAFKA_BOOTSTRAP_SERVERS` for it."""
        return f"127.0.0.1:{self.port}"

    @property
    def _properties(self) -> Path:
        return self._folder / "server.properties"

    def _java(self, main: str, *arguments: str) -> list[str]:
        return [str(java()), *JVM, "-cp", f"{kafka()}/*", main, *arguments]

    async def _prepare(self) -> Mapping[str, str]:
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": f"{self._folder}/data",
            "num.partitions": "3",
            # As in production: programs create the topics that they need.
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
            # Lets a broker that was killed restart at once; by default it waits until its old session expires.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            # There is one broker, and there are few consumers.
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
        }
        write_private(self._properties, "".join(f"{name}={value}\n" for name, value in settings.items()))
        if not (self._folder / "data" / "meta.properties").exists():
            tool = self._java("kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER, "--config", str(self._properties))
            await run(tool, {"PATH": os.defpath})
        return {}

    async def _ready(self, _: int) -> bool:
        if is_free(self.port):
            return False
        client = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers, request_timeout_ms=2000)
        try:
            await client.start()
        except KafkaError:
            return False
        finally:
            await client.close()
        return True
