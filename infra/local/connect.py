"""Kafka Connect: one distributed worker with Debezium's Postgres connector on its plugin path."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.cache import Cache
from infra.local.children import Command
from infra.local.fetch import fetch_all
from infra.local.jars import JarSet
from infra.local.java import java_command, write_log4j, write_properties
from infra.local.kafka import MESSAGE_BYTES
from infra.local.parts import Place
from infra.local.ports import Ports
from infra.local.probes import http_ready
from infra.local.progress import ProgressSink


def worker_properties(bootstrap: str, port: int, plugins: Path, secrets: Path) -> dict[str, str]:
    """The worker's settings. Connectors bring their own converters and may override their clients' settings; for a
    password they name a file in `secrets`, which the worker reads, so that its REST interface never shows one.
    """
    topics = {"config": "", "offset": "4", "status": "2"}
    storage = {f"{kind}.storage.topic": f"connect.{kind}" for kind in topics}
    storage |= {f"{kind}.storage.replication.factor": "1" for kind in topics}
    storage |= {f"{kind}.storage.partitions": count for kind, count in topics.items() if count}
    return storage | {
        "bootstrap.servers": bootstrap,
        "group.id": "connect",
        "listeners": f"HTTP://127.0.0.1:{port}",
        "rest.advertised.host.name": "127.0.0.1",
        "rest.advertised.port": str(port),
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "plugin.path": str(plugins),
        "plugin.discovery": "service_load",
        "connector.client.config.override.policy": "All",
        "producer.max.request.size": str(MESSAGE_BYTES),
        "producer.enable.idempotence": "true",
        "config.providers": "dir",
        "config.providers.dir.class": "org.apache.kafka.common.config.provider.DirectoryConfigProvider",
        "config.providers.dir.param.allowed.paths": str(secrets),
        "offset.flush.interval.ms": "1000",
        "scheduled.rebalance.max.delay.ms": "0",
        # A killed worker is a member of the group until its session ends; its successor waits for that.
        "session.timeout.ms": "6000",
        "heartbeat.interval.ms": "2000",
    }


@dataclass(frozen=True, slots=True)
class Connect:
    """`jars`: the sets `connect` and `debezium`. `bootstrap`: a plaintext Kafka. `secrets`: a folder of passwords."""

    place: Place
    ports: Ports
    jars: Mapping[str, JarSet]
    cache: Cache
    bootstrap: str
    secrets: Path
    name: str = "connect"
    needs: tuple[str, ...] = field(default=("kafka",))
    ready_seconds: float = 180.0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.ports.connect}"

    @property
    def log_file(self) -> Path:
        return self.place.log_file

    def prepare(self, report: ProgressSink) -> None:
        fetch_all([self.jars["connect"], self.jars["debezium"]], self.cache, report)
        # Every folder on the plugin path is one plugin: the jars have to lie one level down.
        plugins = self.place.data / "plugins"
        plugins.mkdir(parents=True, exist_ok=True)
        link = plugins / "debezium"
        link.unlink(missing_ok=True)
        link.symlink_to(self.cache.path(self.jars["debezium"].key), target_is_directory=True)
        self.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_log4j(self.place)
        properties = worker_properties(self.bootstrap, self.ports.connect, plugins, self.secrets)
        write_properties(self._properties, properties)

    def command(self) -> Command:
        arguments = ("org.apache.kafka.connect.cli.ConnectDistributed", str(self._properties))
        return java_command(self.place, self.cache.path(self.jars["connect"].key), "512m", arguments)

    def is_ready(self) -> bool:
        return http_ready(f"{self.address}/health")

    @property
    def _properties(self) -> Path:
        return self.place.data / "connect.properties"
