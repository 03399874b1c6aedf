"""The settings a command works with: the environment's, over the project's `.millstream/` profile where there is
one.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from infra.local import profile as profiles
from infra.local.profile import Profile
from runtime.settings import Settings, settings_from
from schemas.errors import ConfigError

STATE_DIR_VARIABLE = "MILLSTREAM_STATE_DIR"


def state_dir() -> Path:
    """Where the project keeps its state: MILLSTREAM_STATE_DIR, or .millstream in the current folder."""
    return Path(os.environ.get(STATE_DIR_VARIABLE, ".millstream")).absolute()


def open_profile() -> Profile:
    """The project's development profile. Raises ConfigError where `millstream up` has not made one."""
    profile = profiles.read(state_dir())
    if profile is None:
        raise ConfigError(f"no profile in {state_dir()}: run `millstream up` first, or from the project's folder")
    return profile


def open_environment() -> Mapping[str, str]:
    """The environment's variables, over those of the profile."""
    profile = profiles.read(state_dir())
    environment = dict(os.environ)
    return environment if profile is None else profile.environment(environment)


def open_settings() -> Settings:
    """Settings of this command."""
    return settings_from(open_environment())
