"""Millstream's own processes, as the launcher starts them: declared as values, run by the same rules as the parts."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.children import Command
from infra.local.ports import Ports
from infra.local.probes import http_ready
from infra.local.progress import ProgressSink

BOOTSTRAP = "bootstrap"


@dataclass(frozen=True, slots=True)
class Service:
    """A process of this application. `ready_url` None: a task, which is ready when it has ended with exit code 0."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    ready_url: str | None
    needs: tuple[str, ...]
    directory: Path
    log_file: Path
    ready_seconds: float = 120.0

    @property
    def address(self) -> str:
        return "" if self.ready_url is None else self.ready_url.removesuffix("/readyz")

    def prepare(self, report: ProgressSink) -> None:
        """Nothing to prepare: it is installed."""

    def command(self) -> Command:
        return Command(self.argv, self.environment, self.directory, self.log_file, grace_seconds=20.0)

    def is_ready(self) -> bool:
        return self.ready_url is not None and http_ready(self.ready_url)


def application(environment: Mapping[str, str], ports: Ports, state_dir: Path) -> list[Service]:
    """bootstrap, the stages, the receiver and the API. `environment` is complete: MILLSTREAM_* and the caller's."""

    def service(name: str, arguments: str, port: str | None, needs: tuple[str, ...], **extra: str) -> Service:
        url = None if port is None else f"http://127.0.0.1:{port}/readyz"
        argv = (sys.executable, "-P", "-m", *arguments.split())
        log_file = state_dir / "logs" / f"{name}.out"
        return Service(name, argv, {**environment, **extra}, url, needs, state_dir.parent, log_file)

    def stage(name: str, port: int) -> Service:
        text = str(port)
        return service(name, f"streams --stage {name}", text, (BOOTSTRAP,), MILLSTREAM_METRICS_PORT=text)

    return [
        service(BOOTSTRAP, "cli bootstrap", None, ("kafka", "weaviate")),
        stage("prepare", ports.metrics_prepare),
        stage("apply", ports.metrics_apply),
        stage("hide", ports.metrics_hide),
        stage("capture", ports.metrics_capture),
        stage("builds", ports.metrics_builds),
        service("ingest", "connectors.webhook", environment["MILLSTREAM_INGEST_PORT"], (BOOTSTRAP,)),
        service("api", "serving", environment["MILLSTREAM_API_PORT"], (BOOTSTRAP,)),
    ]
