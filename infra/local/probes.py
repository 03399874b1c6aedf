"""Small questions to the parts: does it answer, not only listen? Loopback, short timeouts, no client libraries."""

import http.client
import socket
import struct
import urllib.error
import urllib.request

_METADATA_KEY = 3
_METADATA_VERSION = 7


def http_status(url: str, seconds: float = 1.0) -> int | None:
    """The status of GET `url`; None when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as response:  # noqa: S310 - our own loopback addresses
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException):
        return None


def http_ready(url: str) -> bool:
    """Whether GET `url` answers 2xx."""
    status = http_status(url)
    return status is not None and 200 <= status < 300


def port_open(host: str, port: int, seconds: float = 0.5) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=seconds):
            return True
    except OSError:
        return False


def split_address(address: str) -> tuple[str, int]:
    """`host:port` of the first of a comma-separated list."""
    host, _, port = address.split(",")[0].rpartition(":")
    return host, int(port)


def _receive(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        block = connection.recv(count - len(received))
        if not block:
            raise ConnectionError("the broker closed the connection")
        received += block
    return received


def kafka_answers(bootstrap: str) -> bool:
    """Whether a plaintext broker answers Metadata (version 7, no topics) with at least one broker and a controller.

    Kafka protocol: size, then header v1 (api key, version, correlation id, client id), then the topics: an empty array.
    """
    client = b"millstream"
    header = struct.pack(f">hhih{len(client)}s", _METADATA_KEY, _METADATA_VERSION, 1, len(client), client)
    request = header + struct.pack(">ib", 0, 0)
    try:
        with socket.create_connection(split_address(bootstrap), timeout=1.0) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            (size,) = struct.unpack(">i", _receive(connection, 4))
            answer = _receive(connection, min(size, 65_536))
    except OSError:
        return False
    return has_broker_and_controller(answer)


def has_broker_and_controller(answer: bytes) -> bool:
    """Whether a Metadata response names both.

    Its fields: correlation id, throttle ms, brokers[node, host, port, rack or null], cluster id, controller.
    """
    try:
        (brokers,) = struct.unpack_from(">i", answer, 8)
        at = 12
        for _ in range(brokers):
            at += 4
            at = _skip_string(answer, at) + 4
            at = _skip_string(answer, at)
        at = _skip_string(answer, at)
        (controller,) = struct.unpack_from(">i", answer, at)
    except struct.error:
        return False
    return bool(brokers > 0 and controller >= 0)


def _skip_string(answer: bytes, at: int) -> int:
    (length,) = struct.unpack_from(">h", answer, at)
    return at + 2 + max(0, int(length))
