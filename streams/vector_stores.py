"""Where vectors outlive a process: on this machine's disk, and behind it on a server that machines share."""

from collections.abc import Mapping, Sequence

from runtime.settings import Settings
from streams.vector_cache import VectorCache
from streams.vectors import VectorStore


def open_vector_store(settings: Settings, fingerprint: str, dimension: int) -> VectorStore | None:
    """The stores that are wanted, as one; None where none is. Raises ConfigError."""
    url = settings.valkey_url.get_secret_value()
    near: VectorStore | None = None
    if settings.vector_cache_mb:
        folder = settings.state_dir / "data" / "vectors"
        near = VectorCache(folder, fingerprint, dimension, settings.vector_cache_mb)
    if not url:
        return near
    from streams.shared_vectors import SharedVectors

    far = SharedVectors(url, fingerprint, dimension, settings.valkey_hours)
    return far if near is None else LayeredVectors(near, far)


class LayeredVectors:
    """A `VectorStore`; what the far store alone has is kept in the near one."""

    def __init__(self, near: VectorStore, far: VectorStore) -> None:
        self._near = near
        self._far = far

    def get(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Those that either has."""
        found = self._near.get(names)
        missing = [name for name in names if name not in found]
        if not missing:
            return found
        brought = self._far.get(missing)
        self._near.put(brought)
        return {**found, **brought}

    def put(self, vectors: Mapping[str, bytes]) -> None:
        """Keep them in both."""
        self._near.put(vectors)
        self._far.put(vectors)

    def close(self) -> None:
        """Close both."""
        self._near.close()
        self._far.close()
