"""The settings that a generation's recipe was made with, where they are not those of the other processes: written by
`millstream replay --generation`, read by whoever keeps that generation up.
"""

import json
from collections.abc import Mapping
from pathlib import Path

VARIABLES = (
    "MILLSTREAM_EMBEDDING_MODEL",
    "MILLSTREAM_EMBEDDING_URL",
    "MILLSTREAM_EMBEDDING_DIMENSION",
    "MILLSTREAM_EMBEDDING_MAX_TOKENS",
    "MILLSTREAM_CHUNK_TOKENS",
)
"""What changes a recipe without another release."""


def keep_recipe(state_dir: Path, generation: str, environment: Mapping[str, str]) -> None:
    """Remember what `environment` says about a generation's recipe."""
    file = _file(state_dir, generation)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.write_text(json.dumps({name: environment[name] for name in VARIABLES if name in environment}) + "\n")


def kept_recipe(state_dir: Path, generation: str) -> Mapping[str, str]:
    """Variables that a process of this generation needs; empty where nothing was remembered."""
    try:
        found: dict[str, str] = json.loads(_file(state_dir, generation).read_text())
    except FileNotFoundError:
        return {}
    return {name: value for name, value in found.items() if name in VARIABLES}


def _file(state_dir: Path, generation: str) -> Path:
    return state_dir / "generations" / f"{generation}.json"
