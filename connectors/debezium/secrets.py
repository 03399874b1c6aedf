"""Where a source's password goes: into a file of Connect's config provider, or nowhere. Connect's own configurations,
which anybody who may ask Connect can read, hold a reference to it.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from runtime.settings import Settings
from schemas.errors import ConfigError

_REFERENCE = re.compile(r"\$\{[^{}\s]+\}")
PROVIDER = "dir"
"""Name of the config provider that reads files of a folder (DirectoryConfigProvider), as the local stack sets it up."""


@dataclass(frozen=True, slots=True)
class PasswordStore:
    """`folder`: files that Connect's provider `dir` reads; `template`: a reference of an operator's own provider."""

    folder: Path | None
    template: str

    @classmethod
    def of(cls, settings: Settings) -> "PasswordStore":
        """As the settings say. Raises ConfigError for a reference that is none."""
        template = settings.connect_password
        if template and not _REFERENCE.fullmatch(template.replace("{source}", "source")):
            raise ConfigError(
                "MILLSTREAM_CONNECT_PASSWORD must be a reference of a config provider, such as "
                "${env:POSTGRES_PASSWORD}, never a password"
            )
        return cls(settings.connect_secrets_dir, template)

    def reference(self, source: str) -> str:
        """What stands in the connector's configuration. Raises ConfigError where no provider is named."""
        if self.template:
            return self.template.replace("{source}", source)
        if self.folder is None:
            raise ConfigError(
                f"source {source}: say how Connect finds its password: set MILLSTREAM_CONNECT_PASSWORD to a reference "
                "of a config provider, such as ${env:POSTGRES_PASSWORD}"
            )
        return f"${{{PROVIDER}:{self.folder.absolute()}:{source}}}"

    def keep(self, source: str, password: str) -> bool:
        """Write the password where Connect finds it; whether it was another before."""
        if self.template or self.folder is None or not password:
            return False
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self.folder / source
        known = file.read_text(encoding="utf-8") if file.exists() else None
        if known == password:
            return False
        work = self.folder / f".{source}.new"
        handle = os.open(work, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as output:
            output.write(password)
        work.replace(file)
        return known is not None

    def forget(self, source: str) -> None:
        """Remove the password of a source that went."""
        if self.folder is not None and not self.template:
            (self.folder / source).unlink(missing_ok=True)
