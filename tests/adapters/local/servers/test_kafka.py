"""The real Kafka as the local stack runs it."""

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local.servers.kafka import KafkaServer
from deploy.local.tools import java_tools
from deploy.local.tools.java_tools import NoJava
from tests.support.ports import any_free_port

TOPIC = "kept"


@pytest.mark.usefixtures("kafka_jars")
async def test_acknowledged_messages_survive_a_kill(tmp_path: Path) -> None:
    server = KafkaServer(tmp_path, any_free_port(), any_free_port())
    await server.start()
    try:
        admin = AIOKafkaAdminClient(bootstrap_servers=server.bootstrap_servers)
        await admin.start()
        await admin.create_topics([NewTopic(TOPIC, 1, 1)])
        await admin.close()
        async with AIOKafkaProducer(bootstrap_servers=server.bootstrap_servers, acks="all") as producer:
            await producer.send_and_wait(TOPIC, b"a fact")
        server.process.kill()
        await server.process.crashes.get()
        await server.start()
        async with AIOKafkaConsumer(TOPIC, bootstrap_servers=server.bootstrap_servers, auto_offset_reset="earliest") as consumer:
            assert (await consumer.getone()).value == b"a fact"
    finally:
        await server.stop()


def test_missing_java_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoJava, match="Java 17"):
        KafkaServer(tmp_path, 1, 2)


def test_missing_maven_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "java").write_text("#!/bin/sh\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(java_tools, "TOOLS", tmp_path / "tools")
    with pytest.raises(NoJava, match="Maven was not found"):
        java_tools.kafka()
