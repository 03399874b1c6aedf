"""Which file a process's log is in."""

from pathlib import Path

import pytest

from cli.following import print_log
from schemas.errors import ConfigError


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MILLSTREAM_STATE_DIR", str(tmp_path))
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("capture", "streams-capture.log"),
        ("builds", "streams-builds.log"),
        ("ingest", "webhook.log"),
        ("api", "serving.log"),
        ("kafka", "kafka.log"),
    ],
)
def test_a_process_is_called_by_what_it_is_for(
    name: str, file: str, logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (logs / file).write_text("first\nsecond\nthird\n")
    print_log(name, 2, follow=False)
    assert capsys.readouterr().out == "second\nthird\n"


def test_a_process_that_has_written_nothing_is_refused(logs: Path) -> None:
    (logs / "streams-hide.log").touch()
    with pytest.raises(ConfigError, match="no log of 'hide'"):
        print_log("hide", 2, follow=False)
