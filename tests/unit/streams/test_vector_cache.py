"""Vectors on disk: bounded, private, checked, and never in the way."""

import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest

from streams.vector_cache import VectorCache

DIMENSION = 8


def vector(number: int) -> bytes:
    return np.full(DIMENSION, number, dtype="<f4").tobytes()


def cache(folder: Path, megabytes: int = 1) -> VectorCache:
    return VectorCache(folder, "model-8-abc", DIMENSION, megabytes)


def file(folder: Path) -> Path:
    return folder / "model-8-abc.sqlite"


def test_vectors_outlive_the_process(tmp_path: Path) -> None:
    first = cache(tmp_path)
    first.put({f"n{number}": vector(number) for number in range(1200)})
    first.close()
    second = cache(tmp_path)
    names = [f"n{number}" for number in range(1300)]
    assert second.get(names) == {f"n{number}": vector(number) for number in range(1200)}
    second.close()


def test_another_model_has_another_file(tmp_path: Path) -> None:
    first = cache(tmp_path)
    first.put({"n": vector(1)})
    other = VectorCache(tmp_path, "other-8-def", DIMENSION, 1)
    assert other.get(["n"]) == {}


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "vectors"
    cache(folder).put({"n": vector(1)})
    assert stat.S_IMODE(file(folder).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_least_recently_used_make_room(tmp_path: Path) -> None:
    store = cache(tmp_path)
    most = 1024 * 1024 // (4 * DIMENSION + 120)
    for start in range(0, 2 * most, 500):
        store.put({f"n{number}": vector(number) for number in range(start, start + 500)})
    store.close()
    rows = sqlite3.connect(file(tmp_path)).execute("SELECT count(*) FROM vectors").fetchone()[0]
    assert most // 2 < rows <= most


@pytest.mark.parametrize("damage", [b"this is no database at all" * 100, b""])
def test_a_broken_file_is_begun_anew(tmp_path: Path, damage: bytes) -> None:
    store = cache(tmp_path)
    store.put({"n": vector(1)})
    store.close()
    file(tmp_path).write_bytes(damage)
    again = cache(tmp_path)
    assert again.get(["n"]) == {}
    again.put({"n": vector(2)})
    assert again.get(["n"]) == {"n": vector(2)}


def test_a_vector_with_a_wrong_checksum_was_never_there(tmp_path: Path) -> None:
    store = cache(tmp_path)
    store.put({"n": vector(1), "m": vector(2)})
    with sqlite3.connect(file(tmp_path)) as other:
        other.execute("UPDATE vectors SET vector = zeroblob(length(vector)) WHERE name = 'n'")
        other.execute("UPDATE vectors SET vector = substr(vector, 2) WHERE name = 'm'")
    assert store.get(["n", "m"]) == {}


def test_a_folder_that_cannot_be_written_means_no_cache_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "vectors").write_text("a file where the folder should be")
    store = cache(tmp_path / "vectors")
    store.put({"n": vector(1)})
    assert store.get(["n"]) == {}
    store.close()
