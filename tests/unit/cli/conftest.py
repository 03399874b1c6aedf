"""A project's folder with a profile, as the commands find it; nothing runs in it."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.__main__ import app
from infra.local import profile as profiles
from infra.local.profile import Profile, write_private

SOURCES = """\
version: 1
sources:
  - {name: handbook, tenant: aurora, kind: files, default_acl: [public]}
  - {name: helpdesk, tenant: aurora, kind: webhook, default_acl: [staff]}
"""


@dataclass(frozen=True)
class Project:
    """The folder that the commands run in."""

    folder: Path
    profile: Profile

    def run(self, *arguments: str) -> Result:
        """Run a command in this process."""
        return CliRunner().invoke(app, list(arguments))

    def refused(self, *arguments: str) -> str:
        """The one line a command ends with. Fails when it does not end with exit 1 and nothing else."""
        result = self.run(*arguments)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert line.startswith("millstream: ")
        return line

    def put_in_force(self, sources: str) -> None:
        """Make a sources.yaml the applied one."""
        write_private(self.profile.sources_file, sources)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A profile was made once, and two sources of one tenant are in force."""
    monkeypatch.chdir(tmp_path)
    made = Project(tmp_path, profiles.load_or_create(tmp_path / ".millstream", {}))
    made.put_in_force(SOURCES)
    return made
