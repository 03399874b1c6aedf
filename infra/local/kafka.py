"""Kafka: one node, broker and KRaft controller in one process, plaintext on loopback."""

import base64
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.cache import Cache
from infra.local.children import Command
from infra.local.fetch import fetch
from infra.local.jars import JarSet
from infra.local.java import java_command, write_log4j, write_properties
from infra.local.parts import Place, own_folder
from infra.local.ports import Ports
from infra.local.probes import kafka_answers
from infra.local.progress import Progress, ProgressSink
from schemas.errors import TransientError

# 16 MiB of record, design §3, and what a batch adds around it.
MESSAGE_BYTES = 16 * 1024 * 1024 + 65_536
WEEK_MS = 7 * 24 * 3600 * 1000


def server_properties(ports: Ports, log_dir: Path) -> dict[str, str]:
    """server.properties of the one node."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{ports.kafka_controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{ports.kafka},CONTROLLER://127.0.0.1:{ports.kafka_controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{ports.kafka}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(log_dir),
        "auto.create.topics.enable": "false",
        "message.max.bytes": str(MESSAGE_BYTES),
        "replica.fetch.max.bytes": str(MESSAGE_BYTES),
        "log.retention.ms": str(WEEK_MS),
        "log.cleaner.dedupe.buffer.size": "16777216",
        "group.initial.rebalance.delay.ms": "0",
        # After a kill the broker waits for its old session to end before it may register again.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "4",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "num.recovery.threads.per.data.dir": "2",
    }


@dataclass(frozen=True, slots=True)
class Kafka:
    """`answers` decides readiness by asking for metadata at a bootstrap address."""

    place: Place
    ports: Ports
    jars: JarSet
    cache: Cache
    answers: Callable[[str], bool] = kafka_answers
    name: str = "kafka"
    needs: tuple[str, ...] = field(default=())
    ready_seconds: float = 120.0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports.kafka}"

    @property
    def log_file(self) -> Path:
        return self.place.log_file

    def prepare(self, report: ProgressSink) -> None:
        fetch(self.jars, self.cache, report)
        own_folder(self.place.data)
        write_log4j(self.place)
        write_properties(self._properties, server_properties(self.ports, self._log_dir))
        if not (self._log_dir / "meta.properties").exists():
            report(Progress(self.name, "format", "formatting its storage"))
            self._format()

    def command(self) -> Command:
        return self._java("kafka.Kafka", str(self._properties))

    def is_ready(self) -> bool:
        return self.answers(self.address)

    @property
    def _properties(self) -> Path:
        return self.place.data / "server.properties"

    @property
    def _log_dir(self) -> Path:
        return self.place.data / "log"

    def _java(self, *arguments: str) -> Command:
        return java_command(self.place, self.cache.path(self.jars.key), "512m", arguments)

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "m")
        command = self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._properties))
        done = subprocess.run(  # noqa: S603 - our own Java
            command.argv,
            env=dict(command.environment),
            cwd=command.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise TransientError(f"Kafka's storage cannot be formatted: {last}")
