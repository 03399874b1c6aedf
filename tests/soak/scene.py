"""Where the long runs play: an installation with webhook sources of four tenants, one of each partition, and a captured
table; orders for faults go to the launcher's processes or to stage processes that are started beside them.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import yaml

from infra.local import profile as profiles
from infra.local.ports import free_ports, lease_ports
from infra.local.status import State
from runtime.faults import Faults
from tests.acceptance.installation import Installation, users_environment

TABLE = "board"
LAUNCHED, BESIDE = "launched", "beside"
_ELSEWHERE = ("MILLSTREAM_POSTGRES_DSN", "MILLSTREAM_CONNECT_URL")
_SHORT_HISTORY = "0.01"
"""36 s: of the tenant that states none rows are removed all the time."""
_COLUMNS = {"key": ["id"], "title": "title", "body": "body", "acl": "readers"}


def sources_text(*, captured: bool, kept_hours: int = 24) -> str:
    """sources.yaml. `kept_hours`, 24 or 0: of one of two tenants whose history comes and goes by turns."""

    def webhook(name: str, tenant: str, versioning: str = "log") -> dict[str, object]:
        return {
            "name": name,
            "tenant": tenant,
            "kind": "webhook",
            "versioning": versioning,
            "default_acl": ["public"],
            "redaction": {"profile": "off"},
        }

    table = {
        "name": TABLE,
        "tenant": "aurora",
        "kind": "postgres",
        "default_acl": ["public"],
        "redaction": {"profile": "off"},
        "postgres": {
            "dsn_env": "MILLSTREAM_POSTGRES_DSN",
            "table": f"public.{TABLE}",
            "columns": _COLUMNS,
            "content_type": "text/markdown",
        },
    }
    sources = [
        webhook("desk", "aurora"),
        webhook("feed", "delta"),
        webhook("stock", "orion", "source"),
        webhook("wire", "lyra"),
    ]
    tenants = [{"name": "delta", "history_hours": 0}, {"name": "orion", "history_hours": kept_hours}]
    tenants.append({"name": "lyra", "history_hours": 24 - kept_hours})
    return yaml.safe_dump({"version": 1, "tenants": tenants, "sources": [*sources, *([table] if captured else [])]})


@dataclass
class Beside:
    """Stage processes beside the launcher's, each started again as soon as it ends."""

    environ: Mapping[str, str]
    logs: Path
    ended: list[int] = field(default_factory=list)
    """Exit codes so far."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, stage: str, number: int) -> None:
        """Keep one more process of a stage running."""
        thread = threading.Thread(target=self._keep, args=(stage, f"streams-{stage}-{number}"), daemon=True)
        self._threads.append(thread)
        thread.start()

    def pids(self) -> list[tuple[str, int]]:
        """Stage and process id of those that run now."""
        running = list(self._running.items())
        return [(name.split("-")[1], process.pid) for name, process in running if process.poll() is None]

    def _keep(self, stage: str, name: str) -> None:
        command = [sys.executable, "-P", "-m", "streams", "--stage", stage, "--leashed", "--log-name", name]
        with lease_ports(1) as lease:
            environ = {**self.environ, "MILLSTREAM_METRICS_PORT": str(lease.ports[0])}
            while not self._stop.is_set():
                with (self.logs / f"{name}.out").open("ab") as output:
                    process = subprocess.Popen(
                        command,
                        env=environ,
                        stdin=subprocess.PIPE,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,
                    )
                self._running[name] = process
                while process.poll() is None and not self._stop.wait(0.1):
                    continue
                if process.poll() is None:
                    _end(process)
                    return
                self.ended.append(process.returncode)
                self._stop.wait(0.3)

    def stop(self) -> None:
        """Returns when none is left."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGCONT)
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclass
class Scene:
    """What a run works on."""

    installation: Installation
    launched: Faults
    """Orders for the launcher's processes."""
    beside: Faults
    """Orders for those beside them."""
    workers: Beside

    @property
    def dsn(self) -> str:
        """Of the database with the captured table."""
        profile = profiles.read(self.installation.state_dir)
        assert profile is not None
        return profile.postgres_dsn

    def put_in_force(self, *, kept_hours: int = 24) -> None:
        """Apply sources.yaml, with the captured table."""
        (self.installation.folder / "sources.yaml").write_text(sources_text(captured=True, kept_hours=kept_hours))
        self.installation.millstream("source", "apply")

    def failed(self) -> list[str]:
        """Processes that the launcher has given up."""
        return [
            f"{unit.name}: {unit.message}" for unit in self.installation.status().units if unit.state is State.FAILED
        ]


@contextmanager
def scene(folder: Path, *, beside: Sequence[str] = ("apply", "apply")) -> Iterator[Scene]:
    """A running installation with one more process of each stage in `beside`; at the end nothing of it runs."""
    ports, lease = free_ports()
    faults = folder / ".millstream" / "faults"
    with lease:
        known = users_environment(ports.as_dict())
        environ = {name: value for name, value in known.items() if name not in _ELSEWHERE}
        environ["MILLSTREAM_FAULTS_DIR"] = str(faults / LAUNCHED)
        environ["MILLSTREAM_HISTORY_HOURS"] = _SHORT_HISTORY
        installation = Installation(folder, environ)
        (folder / "sources.yaml").write_text(sources_text(captured=False))
        try:
            installation.millstream("up")
            made = _made(installation, faults, beside)
            try:
                yield made
            finally:
                made.workers.stop()
        finally:
            installation.millstream("down")


def _made(installation: Installation, faults: Path, beside: Sequence[str]) -> Scene:
    profile = profiles.read(installation.state_dir)
    assert profile is not None
    environ = profile.environment(installation.environ) | {"MILLSTREAM_FAULTS_DIR": str(faults / BESIDE)}
    made = Scene(
        installation,
        Faults(faults / LAUNCHED),
        Faults(faults / BESIDE),
        Beside(environ, installation.state_dir / "logs"),
    )
    with psycopg.connect(made.dsn, autocommit=True) as database:
        database.execute(f"CREATE TABLE {TABLE} (id int PRIMARY KEY, title text, body text, readers text[])".encode())
    made.put_in_force()
    for number, stage in enumerate(beside, start=2):
        made.workers.start(stage, number)
    return made
