"""The user's cache of fetched parts: one folder a part and version, filled once, atomically.

A folder under its final name is complete; a build works in `.partial/` and is renamed into place. A file lock a key
keeps two builds from doing the same work, in one process or in several.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import platformdirs


def default_cache_dir() -> Path:
    """The user's cache folder for Millstream."""
    return Path(platformdirs.user_cache_dir("millstream"))


def cache_dir_of(environ: Mapping[str, str]) -> Path | None:
    """MILLSTREAM_CACHE_DIR, where it is set."""
    given = environ.get("MILLSTREAM_CACHE_DIR")
    return Path(given) if given else None


@contextmanager
def file_lock(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[int]:
    """Hold an exclusive lock on `path`, yield its descriptor; `on_wait` is called once when somebody else holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


class Cache:
    """Folders by key (`name-version`). Keys never change their content."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or default_cache_dir()).absolute()

    def path(self, key: str) -> Path:
        return self.root / key

    def has(self, key: str) -> bool:
        return self.path(key).is_dir()

    def fill(self, key: str, build: Callable[[Path], None], on_wait: Callable[[], None] | None = None) -> Path:
        """The folder of `key`; where it is missing, `build` fills an empty one first.

        Whatever `build` raises passes through and leaves nothing under the final name.
        """
        target = self.path(key)
        if target.is_dir():
            return target
        partial = self.root / ".partial"
        with file_lock(self.root / ".locks" / key, on_wait):
            if target.is_dir():
                return target
            partial.mkdir(parents=True, exist_ok=True)
            for left_over in partial.glob(f"{key}~*"):
                shutil.rmtree(left_over, ignore_errors=True)
            work = Path(tempfile.mkdtemp(prefix=f"{key}~", dir=partial))
            try:
                work.chmod(0o755)  # Postgres reads its part as another user when we are root
                build(work)
                work.rename(target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return target
