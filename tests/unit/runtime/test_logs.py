"""Logs: where lines go, and what never gets into them."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import structlog

from runtime import logs
from runtime.metrics import LOG_FIELDS_REFUSED, Metrics
from runtime.settings import Settings
from schemas.errors import ConfigError, TransientError

SENTENCE = "the patient's name is Ada"


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in logs.QUIET}
    yield
    for handler in list(root.handlers):
        root.removeHandler(handler)
        if handler not in handlers:
            handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def lines(folder: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in (folder / "webhook.log").read_bytes().splitlines()]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def folder(tmp_path: Path, metrics: Metrics) -> Path:
    logs.configure(Settings(log_dir=tmp_path), "webhook", metrics)
    return tmp_path


def test_a_line_is_json_with_time_level_process_and_fields(folder: Path) -> None:
    structlog.get_logger("millstream").info("request", source="wiki", status=202, ms=1.5)
    (line,) = lines(folder)
    assert {key: line[key] for key in ("event", "level", "process", "source", "status", "ms")} == {
        "event": "request",
        "level": "info",
        "process": "webhook",
        "source": "wiki",
        "status": 202,
        "ms": 1.5,
    }
    assert str(line["timestamp"]).endswith("Z")


def test_fields_named_like_text_or_secrets_are_dropped_at_any_depth_and_counted(folder: Path, metrics: Metrics) -> None:
    for name in ("text", "body", "question", "title", "quote", "value", "secret", "token", "authorization", "Token"):
        structlog.get_logger().info("event", **{name: SENTENCE}, kept=1)
    structlog.get_logger().info("event", nested=[{"chunk": {"text": SENTENCE, "ordinal": 3}}])
    written = (folder / "webhook.log").read_text()
    assert SENTENCE not in written
    assert all("kept" in line or line.get("nested") == [{"chunk": {"ordinal": 3}}] for line in lines(folder))
    assert lines(folder)[0]["refused_fields"] == ["text"]
    assert metrics.value(LOG_FIELDS_REFUSED) == 11


def test_a_foreign_exception_is_logged_by_type_and_place_without_its_message(folder: Path) -> None:
    try:
        raise ValueError(SENTENCE)
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("some.library").exception("library failed")
    assert SENTENCE not in (folder / "webhook.log").read_text()
    for line in lines(folder):
        assert line["error_type"] == "builtins.ValueError"
        assert any("test_logs.py" in frame for frame in line["stack"])  # type: ignore[attr-defined]


def test_our_own_exception_keeps_its_message(folder: Path) -> None:
    structlog.get_logger().error("failed", exc_info=TransientError("Kafka did not answer"))
    assert lines(folder)[0]["error"] == "Kafka did not answer"


def test_what_libraries_say_about_exceptions_and_futures_loses_the_text(folder: Path) -> None:
    logging.getLogger("mode.services").error("Crashed reason=%r", ValueError(SENTENCE))
    joined = f"Task exception was never retrieved\nfuture: <Task exception={SENTENCE!r}>"
    logging.getLogger("asyncio").error(joined)
    assert SENTENCE not in (folder / "webhook.log").read_text()
    assert [line["event"] for line in lines(folder)] == [
        "Crashed reason='ValueError'",
        "Task exception was never retrieved",
    ]


def test_loggers_that_print_objects_are_silent(folder: Path) -> None:
    logging.getLogger("weaviate-client").error("failed object %s", SENTENCE)
    logging.getLogger("weaviate.collections").error("failed object %s", SENTENCE)
    logging.getLogger("faust.worker").info("chatter")
    assert lines(folder) == []


def test_bound_context_reaches_the_line(folder: Path) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger().info("event")
    assert lines(folder)[0]["request_id"] == "r1"


def test_without_a_folder_json_goes_to_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure(Settings(), "api")
    structlog.get_logger().warning("event", n=1)
    assert orjson.loads(stream.getvalue())["n"] == 1


def test_on_a_terminal_lines_are_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure(Settings(), "api")
    structlog.get_logger().warning("event", n=1)
    assert "event" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_a_folder_that_cannot_be_written_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="MILLSTREAM_LOG_DIR"):
        logs.configure(Settings(log_dir=tmp_path / "file"), "api")


def test_lines_below_the_level_are_not_written(tmp_path: Path) -> None:
    logs.configure(Settings(log_dir=tmp_path, log_level="warning"), "webhook")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(tmp_path)] == ["loud"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def said(repeats: logs.Repeats, message: object, *args: object, name: str = "aiokafka") -> str | None:
    """What becomes of a line at every handler; None: it is left out."""
    record = logging.LogRecord(name, logging.ERROR, "", 0, message, args, None)
    passed = {repeats(record), repeats(record)}
    assert len(passed) == 1
    return record.getMessage() if passed.pop() else None


def test_a_line_of_another_library_is_told_once_in_a_while_and_how_often_it_came() -> None:
    clock = Clock()
    repeats = logs.Repeats(clock)
    assert said(repeats, "no node %s, 100%%", 1) == "no node 1, 100%"
    assert [said(repeats, "no node %s, 100%%", 1) for _ in range(3)] == [None] * 3
    assert said(repeats, "no node %s, 100%%", 2) == "no node 2, 100%"
    assert said(repeats, "no node %s, 100%%", 1, name="faust") == "no node 1, 100%"
    clock.now = 10.0
    assert said(repeats, "no node %s, 100%%", 1) == "no node 1, 100% (3 more since)"
    clock.now = 20.0
    assert said(repeats, "no node %s, 100%%", 1) == "no node 1, 100%"


def test_our_own_lines_and_those_with_an_error_are_all_told() -> None:
    repeats = logs.Repeats(Clock())
    assert [said(repeats, {"event": "record"}) for _ in range(2)] == [str({"event": "record"})] * 2
    record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), (ValueError, ValueError(), None))
    assert [repeats(record), repeats(record)] == [True, True]


def test_a_line_with_the_wrong_arguments_does_not_fail_its_caller() -> None:
    record = logging.LogRecord("x", logging.ERROR, "", 0, "a %s", ("b", "c"), None)
    assert logs.Repeats(Clock())(record)


def test_only_so_many_different_lines_are_remembered() -> None:
    repeats = logs.Repeats(Clock())
    assert [said(repeats, f"line {number}") for number in range(1000)] == [f"line {number}" for number in range(1000)]
    assert said(repeats, "line 999") is None
    assert said(repeats, "line 0") == "line 0"
