"""Weaviate: one node, an API key always, no modules, no telemetry. Its gRPC and cluster ports bind every interface."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from infra.local.cache import Cache
from infra.local.children import Command
from infra.local.fetch import fetch
from infra.local.parts import PASSED_ON, Place, own_folder
from infra.local.ports import Ports
from infra.local.probes import http_ready, port_open
from infra.local.progress import ProgressSink
from infra.local.weaviate_build import WeaviateServer

USER = "millstream"
GIB = 1024**3


def memory_limit(total_bytes: int) -> int:
    """GOMEMLIMIT in bytes: a quarter of the machine, between 1 and 4 GiB (100,000 chunks take 1.1)."""
    return max(GIB, min(4 * GIB, total_bytes // 4))


def server_environment(ports: Ports, store: Path, api_key: str, memory_bytes: int) -> dict[str, str]:
    """Weaviate's settings; the key's user is its one administrator."""
    return {
        "PERSISTENCE_DATA_PATH": str(store),
        # The internal port serves rows without the API key, and listens on every interface: it has its own password.
        "CLUSTER_BASIC_AUTH_USERNAME": USER,
        "CLUSTER_BASIC_AUTH_PASSWORD": api_key,
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
        "AUTHENTICATION_APIKEY_ENABLED": "true",
        "AUTHENTICATION_APIKEY_ALLOWED_KEYS": api_key,
        "AUTHENTICATION_APIKEY_USERS": USER,
        "AUTHORIZATION_ADMINLIST_ENABLED": "true",
        "AUTHORIZATION_ADMINLIST_USERS": USER,
        "CLUSTER_HOSTNAME": "node1",
        "CLUSTER_IN_LOCALHOST": "true",
        "CLUSTER_BIND_ADDR": "127.0.0.1",
        "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
        "CLUSTER_GOSSIP_BIND_PORT": str(ports.weaviate_gossip),
        "CLUSTER_DATA_BIND_PORT": str(ports.weaviate_data),
        "RAFT_PORT": str(ports.weaviate_raft),
        "RAFT_INTERNAL_RPC_PORT": str(ports.weaviate_raft_rpc),
        "RAFT_BOOTSTRAP_EXPECT": "1",
        "RAFT_TIMEOUTS_MULTIPLIER": "1",
        "GRPC_PORT": str(ports.weaviate_grpc),
        "DEFAULT_VECTORIZER_MODULE": "none",
        "ENABLE_MODULES": "",
        "API_BASED_MODULES_DISABLED": "true",
        "AUTOSCHEMA_ENABLED": "false",
        "DISABLE_TELEMETRY": "true",
        "GO_PROFILING_DISABLE": "true",
        "DISK_USE_READONLY_PERCENTAGE": "98",
        "DISK_USE_WARNING_PERCENTAGE": "96",
        "GOMEMLIMIT": str(memory_bytes),
        "LOG_LEVEL": "warning",
    }


@dataclass(frozen=True, slots=True)
class Weaviate:
    """`api_key` is the one key that it accepts."""

    place: Place
    ports: Ports
    server: WeaviateServer
    cache: Cache
    api_key: str = field(repr=False)
    name: str = "weaviate"
    needs: tuple[str, ...] = field(default=())
    ready_seconds: float = 120.0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports.weaviate_http}"

    @property
    def log_file(self) -> Path:
        return self.place.log_file

    def prepare(self, report: ProgressSink) -> None:
        fetch(self.server, self.cache, report)
        own_folder(self.place.data)

    def command(self) -> Command:
        limit = memory_limit(psutil.virtual_memory().total)
        inherited = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        binary = self.cache.path(self.server.key) / "weaviate-server"
        return Command(
            argv=(
                *(str(binary), "--host", "127.0.0.1", "--port", str(self.ports.weaviate_http), "--scheme", "http"),
                *("--read-timeout=600s", "--write-timeout=600s"),
            ),
            environment=inherited | server_environment(self.ports, self.place.data, self.api_key, limit),
            directory=self.place.data,
            log_file=self.place.log_file,
            grace_seconds=30.0,
        )

    def is_ready(self) -> bool:
        grpc = port_open("127.0.0.1", self.ports.weaviate_grpc)
        return grpc and http_ready(f"http://{self.address}/v1/.well-known/ready")
