"""How the captured sources of this project are, for `millstream status` and `doctor`."""

import asyncio

from cli.installing import sources_in_force
from cli.session import open_environment, open_settings
from connectors.debezium.health import SourceHealth
from connectors.debezium.wellness import SourceFinding
from infra.local.doctor import Finding
from runtime.clock import SystemClock


def captured_findings() -> tuple[SourceFinding, ...]:
    """What was found about each source of kind postgres that is in force. Raises ConfigError."""
    settings = open_settings()
    sources = sources_in_force(settings)
    if sources is None:
        return ()
    health = SourceHealth(settings, open_environment(), sources, SystemClock())
    return asyncio.run(health.look())


def as_checks(findings: tuple[SourceFinding, ...]) -> list[Finding]:
    """The same as checks of `doctor`."""
    return [
        Finding(f"{finding.source or 'kafka'} {finding.name}", finding.ok, finding.what, finding.remedy)
        for finding in findings
    ]
