"""The parts as a library: `with Stack(folder) as stack:` starts real ones in a folder of yours; nothing survives it."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.local import ports as port_numbers
from infra.local import profile as profiles
from infra.local.cache import Cache, cache_dir_of
from infra.local.connect import Connect
from infra.local.jars import load_jar_sets
from infra.local.kafka import Kafka
from infra.local.launch import down, read_status, up
from infra.local.parts import Part, Place, waves
from infra.local.postgres import Postgres
from infra.local.profile import Profile
from infra.local.progress import ProgressSink, silent
from infra.local.running import Running
from infra.local.weaviate import Weaviate
from infra.local.weaviate_build import WeaviateServer
from schemas.errors import ConfigError

__all__ = ["PART_NAMES", "Stack", "build_parts", "down", "given_addresses", "read_status", "up"]

PART_NAMES = ("kafka", "weaviate", "postgres", "connect")


def build_parts(profile: Profile, names: Sequence[str], cache: Cache, bootstrap: str = "") -> list[Part]:
    """The parts of those names. `bootstrap`: the Kafka that Connect uses, unless it is the profile's own.

    Raises ConfigError for an unknown name.
    """
    bootstrap = bootstrap or f"127.0.0.1:{profile.ports.kafka}"
    jars = load_jar_sets()
    ports = profile.ports

    def place(name: str) -> Place:
        return Place.under(profile.state_dir, name)

    makers: Mapping[str, Callable[[], Part]] = {
        "kafka": lambda: Kafka(place("kafka"), ports, jars["kafka"], cache),
        "weaviate": lambda: Weaviate(
            place("weaviate"), ports, WeaviateServer(cache), cache, profile.secrets.weaviate_api_key
        ),
        "postgres": lambda: Postgres(place("postgres"), ports, profile.secrets.postgres_password),
        "connect": lambda: Connect(place("connect"), ports, jars, cache, bootstrap, profile.connect_secrets_dir),
    }
    unknown = [name for name in names if name not in makers]
    if unknown:
        raise ConfigError(f"unknown part {unknown[0]}: there are {', '.join(makers)}")
    return [makers[name]() for name in names]


def given_addresses(profile: Profile, environ: Mapping[str, str]) -> dict[str, str]:
    """Parts that somebody else runs: name -> address, where the settings give one that is not the profile's own."""
    own = profile.environment({})
    variables = {
        "kafka": "MILLSTREAM_KAFKA_BOOTSTRAP",
        "weaviate": "MILLSTREAM_WEAVIATE_HTTP",
        "postgres": "MILLSTREAM_POSTGRES_DSN",
        "connect": "MILLSTREAM_CONNECT_URL",
    }
    given = {name: environ.get(variable, own[variable]) for name, variable in variables.items()}
    return {name: shown_address(address) for name, address in given.items() if address != own[variables[name]]}


def shown_address(address: str) -> str:
    """An address without the user and password of a URL."""
    scheme, separator, rest = address.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]


class Stack:
    """Real parts in `directory`, started side by side.

    With `free_ports` every part gets leased free ports, so stacks of several test runs do not meet; without, the ports
    of the directory's profile. `environment()` is what a process needs to use it.
    """

    def __init__(
        self,
        directory: Path,
        parts: Sequence[str] = ("kafka", "weaviate"),
        *,
        free_ports: bool = True,
        cache_dir: Path | None = None,
        progress: ProgressSink = silent,
    ) -> None:
        self._lease: port_numbers.PortLease | None = None
        self._progress = progress
        self._cache = Cache(cache_dir or cache_dir_of(os.environ))
        self.profile = self._load(directory, free_ports)
        built = build_parts(self.profile, parts, self._cache)
        self.parts = {part.name: Running(part) for wave in waves(built) for part in wave}

    def _load(self, directory: Path, free: bool) -> Profile:
        if not free:
            return profiles.load_or_create(directory, os.environ)
        ports, self._lease = port_numbers.free_ports()
        return profiles.load_or_create(directory, {}, ports)

    def start(self) -> None:
        """All parts are ready afterwards. Raises what the first failing one raises, with the others stopped."""
        try:
            with ThreadPoolExecutor(len(self.parts)) as pool:
                coming: dict[str, Future[None]] = {}
                for name, running in self.parts.items():
                    needed = [coming[need] for need in running.part.needs if need in coming]
                    coming[name] = pool.submit(self._bring_up, running, needed)
            for result in coming.values():
                result.result()
        except BaseException:
            self.stop()
            raise

    def _bring_up(self, running: Running, needed: Sequence[Future[None]] = ()) -> None:
        running.prepare(self._progress)
        for need in needed:
            need.result()
        running.start()
        running.wait_ready()

    def stop(self) -> None:
        """No process is left afterwards; the data stays."""
        with ThreadPoolExecutor(len(self.parts)) as pool:
            for wave in reversed(waves([running.part for running in self.parts.values()])):
                list(pool.map(Running.stop, [self.parts[part.name] for part in wave]))
        if self._lease is not None:
            self._lease.release()

    def kill(self, part: str, number: int) -> None:
        """Send a signal to one part; after SIGKILL it is gone on return."""
        self.parts[part].kill(number)

    def restart(self, part: str) -> None:
        """Start a part again on its data and ports, and wait until it answers; stops it first when it still runs."""
        self.parts[part].stop()
        self._bring_up(self.parts[part])

    def environment(self) -> dict[str, str]:
        """The MILLSTREAM_* settings that reach these parts, and nothing else."""
        return self.profile.environment({"MILLSTREAM_CACHE_DIR": str(self._cache.root)})

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
