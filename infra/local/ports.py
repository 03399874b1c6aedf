"""Loopback ports: the development profile's fixed ones, and free ones for tests.

Fixed ports are overridden by MILLSTREAM_PORT_<NAME>. Free ones are leased: a lock file a port, held until released, in
a folder all of this user's processes share, and from a range the system does not hand to outgoing connections. So
nobody who leases gets the same port between our look and the part's bind.
"""

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.errors import ConfigError

OVERRIDE = "MILLSTREAM_PORT_"
LEASE_RANGE = range(20_500, 32_000)


@dataclass(frozen=True, slots=True)
class Ports:
    """Every port of one stack. weaviate_data is weaviate_gossip + 1: Weaviate's nodes compute it so."""

    kafka: int = 19092
    kafka_controller: int = 19093
    connect: int = 18083
    postgres: int = 15432
    weaviate_http: int = 18080
    weaviate_grpc: int = 15051
    weaviate_gossip: int = 17946
    weaviate_data: int = 17947
    weaviate_raft: int = 18300
    weaviate_raft_rpc: int = 18301
    ingest: int = 18801
    api: int = 18800
    metrics_prepare: int = 18811
    metrics_apply: int = 18812
    metrics_hide: int = 18813
    metrics_capture: int = 18814
    metrics_builds: int = 18815

    def as_dict(self) -> dict[str, int]:
        return {name: int(port) for name, port in asdict(self).items()}

    def overridden(self, environ: Mapping[str, str]) -> "Ports":
        """These ports with MILLSTREAM_PORT_<NAME> applied. Raises ConfigError for no port, or one port twice."""
        wanted = self
        for name in PORT_NAMES:
            text = environ.get(OVERRIDE + name.upper())
            if text is None:
                continue
            if not text.isdecimal() or not 1 <= int(text) <= 65_535:
                raise ConfigError(f"{OVERRIDE}{name.upper()} must be a port number from 1 to 65535")
            wanted = replace(wanted, **{name: int(text)})
            if name == "weaviate_gossip":
                wanted = replace(wanted, weaviate_data=int(text) + 1)
        return wanted._checked()

    def _checked(self) -> "Ports":
        by_port: dict[int, str] = {}
        for name, port in self.as_dict().items():
            other = by_port.setdefault(port, name)
            if other != name:
                raise ConfigError(f"ports {other} and {name} are both {port}: set {OVERRIDE}{name.upper()} to another")
        if self.weaviate_data != self.weaviate_gossip + 1:
            raise ConfigError(f"{OVERRIDE}WEAVIATE_DATA must be {OVERRIDE}WEAVIATE_GOSSIP + 1")
        return self


PORT_NAMES = tuple(field.name for field in fields(Ports))


class PortLease:
    """Neighbouring free ports, ours until released. Release after the stack has stopped."""

    def __init__(self, first: int, handles: list[int]) -> None:
        self.ports = tuple(range(first, first + len(handles)))
        self._handles = handles

    def release(self) -> None:
        while self._handles:
            os.close(self._handles.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lease_ports(count: int) -> PortLease:
    """Lease `count` neighbouring ports that nobody listens on. Raises ConfigError when none can be found."""
    folder = Path(tempfile.gettempdir()) / f"millstream-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    chance = random.SystemRandom()
    for _ in range(200):
        first = chance.randrange(LEASE_RANGE.start, LEASE_RANGE.stop - count)
        handles: list[int] = []
        for port in range(first, first + count):
            handle = _lease(folder, port)
            if handle is None:
                break
            handles.append(handle)
        lease = PortLease(first, handles)
        if len(handles) == count:
            return lease
        lease.release()
    raise ConfigError(f"no {count} neighbouring free ports between {LEASE_RANGE.start} and {LEASE_RANGE.stop}")


def free_ports() -> tuple[Ports, PortLease]:
    """A leased port for every name."""
    lease = lease_ports(len(PORT_NAMES))
    return Ports(**dict(zip(PORT_NAMES, lease.ports, strict=True)))._checked(), lease


def _lease(folder: Path, port: int) -> int | None:
    """An open, locked file for the port; None when it is leased or in use."""
    handle = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    if not port_is_free(port):
        os.close(handle)
        return None
    return handle


def port_is_free(port: int) -> bool:
    """Whether it can be bound on every interface (Weaviate's cluster ports listen on all of them)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("", port))
        except OSError:
            return False
    return True
