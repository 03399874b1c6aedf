"""Structured logs: JSON lines to a file, people's lines on a terminal, JSON on standard error otherwise.

Every line goes through here, the standard library's too. Nothing that may hold a document's text or a secret gets out:
fields with such names are dropped and counted, exceptions other than our own lose their message, and libraries that
print what they handle are silenced. Use `log = structlog.get_logger()` and name events in a few lower-case words.
"""

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from runtime.metrics import LOG_FIELDS_REFUSED, Metrics
from runtime.settings import Settings
from schemas.errors import ConfigError, MillstreamError

REFUSED_FIELDS = frozenset(
    {"text", "body", "question", "title", "quote", "value", "secret", "token", "authorization", "password", "api_key"}
)
"""Names of fields that never reach a line, at any depth."""

QUIET: dict[str, int] = {
    "weaviate": logging.CRITICAL,  # logs failed objects, text and all (stack: Weaviate)
    "weaviate-client": logging.CRITICAL,
    "aiokafka": logging.WARNING,
    "faust": logging.WARNING,
    "mode": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "aiohttp.access": logging.CRITICAL,  # requests leave our own line
    "asyncio": logging.WARNING,
    "presidio-analyzer": logging.ERROR,
    "unstructured": logging.ERROR,
}

_FILE_BYTES = 20_000_000
_FILES_KEPT = 5
_FRAMES = 12
_REPEATED_SECONDS = 10.0
_MOST_REPEATED = 256
"""Different lines that are looked out for."""

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def configure(settings: Settings, process: str, metrics: Metrics | None = None) -> None:
    """Send every log line of this process where `settings` say. Call once, first thing in `__main__`.

    Raises ConfigError when the log folder cannot be written.
    """
    refuse = RefuseText(metrics)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(process),
        exception_without_text,
        refuse,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    repeats = Repeats()
    for handler in _handlers(settings.log_dir, process, sys.stderr, shared):
        handler.addFilter(_first_line_only)
        handler.addFilter(repeats)
        root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)


class _LogFile(RotatingFileHandler):
    """Rotates once a file is over its size. The library asks the file system before every line and formats each line
    twice to know it beforehand: 9 % of what a cached answer costs.
    """

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        del record
        return self.stream is not None and self.stream.tell() > self.maxBytes


def _handlers(log_dir: Path | None, process: str, stream: TextIO, shared: list[Processor]) -> list[logging.Handler]:
    handlers: list[logging.Handler] = []
    if log_dir is not None:
        try:
            log_dir.mkdir(parents=True, exist_ok=True)
            file = _LogFile(log_dir / f"{process}.log", maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"MILLSTREAM_LOG_DIR: {log_dir} cannot be written ({error.strerror})") from None
        file.setFormatter(_formatter(_json(), shared))
        handlers.append(file)
    if stream.isatty() or log_dir is None:
        console = logging.StreamHandler(stream)
        renderer = structlog.dev.ConsoleRenderer() if stream.isatty() else _json()
        console.setFormatter(_formatter(renderer, shared))
        handlers.append(console)
    return handlers


def _formatter(renderer: Processor, shared: list[Processor]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer], foreign_pre_chain=shared
    )


def _json() -> Processor:
    return structlog.processors.JSONRenderer(serializer=_dumps)


def _dumps(event: EventDict, **_: object) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _named(process: str) -> Processor:
    def add_process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    return add_process


class RefuseText:
    """Drops fields whose names say that they may hold text or secrets, and counts them: the last defence."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        refused: list[str] = []
        kept = {key: _without(item, refused) for key, item in event.items() if not _is_refused(key, refused)}
        if refused:
            kept["refused_fields"] = sorted(set(refused))
            if self._metrics is not None:
                self._metrics.count(LOG_FIELDS_REFUSED, len(refused))
        return kept


def _is_refused(key: object, refused: list[str]) -> bool:
    found = isinstance(key, str) and key.lower() in REFUSED_FIELDS
    if found:
        refused.append(str(key))
    return found


def _without(item: object, refused: list[str]) -> object:
    if isinstance(item, dict):
        return {key: _without(inner, refused) for key, inner in item.items() if not _is_refused(key, refused)}
    if isinstance(item, list | tuple):
        return [_without(inner, refused) for inner in item]
    return item


def exception_without_text(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by type, place and, for our own errors alone, message: others quote what they choked on."""
    exc_info = event.pop("exc_info", None)
    found = _exc_info(exc_info)
    if found is not None:
        kind, error, trace = found
        event["error_type"] = f"{kind.__module__}.{kind.__qualname__}"
        if isinstance(error, MillstreamError):
            event["error"] = str(error)
        frames = traceback.extract_tb(trace)[-_FRAMES:]
        event["stack"] = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return event


def _exc_info(given: object) -> ExcInfo | None:
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    if isinstance(given, tuple):
        kind, error, trace = given
        return (kind, error, trace) if error is not None else None
    if given:
        kind, error, trace = sys.exc_info()
        return (kind, error, trace) if kind is not None and error is not None else None
    return None


def _first_line_only(record: logging.LogRecord) -> bool:
    """Other libraries' lines: exceptions among the arguments by type, and of the message its first line.

    asyncio and mode print the repr of exceptions and futures, which quote whatever the exception was about.
    """
    if isinstance(record.msg, str):
        if isinstance(record.args, tuple):
            record.args = tuple(_by_type(argument) for argument in record.args)
        record.msg = record.msg.splitlines()[0] if record.msg else ""
    return True


class Repeats:
    """Lets a line of another library through once in 10 s, and tells with the next how many were left out: a client of
    Kafka writes 40 a second for as long as the broker is away. One for all handlers: what it decides of a line holds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._told: dict[tuple[str, int, str], tuple[float, int]] = {}
        self._one_at_a_time = threading.Lock()

    def __call__(self, record: logging.LogRecord) -> bool:
        if not isinstance(record.msg, str) or record.exc_info:
            return True
        passes: bool | None = getattr(record, "passes", None)
        if passes is None:
            try:
                message = record.getMessage()
            except Exception:  # noqa: BLE001 - a line with the wrong arguments: the handler says so, its caller goes on
                return True
            with self._one_at_a_time:
                passes = record.passes = self._passes(record, message)
        return passes

    def _passes(self, record: logging.LogRecord, message: str) -> bool:
        now = self._monotonic()
        key = record.name, record.levelno, message
        told, left_out = self._told.pop(key, (-_REPEATED_SECONDS, 0))
        if now - told < _REPEATED_SECONDS:
            self._told[key] = told, left_out + 1
            return False
        self._told[key] = now, 0
        if len(self._told) > _MOST_REPEATED:
            del self._told[next(iter(self._told))]
        if left_out:
            record.msg, record.args = f"{message} ({left_out} more since)", ()
        return True


def _by_type(argument: object) -> object:
    if isinstance(argument, BaseException) and not isinstance(argument, MillstreamError):
        return type(argument).__name__
    return argument


def log_crashes() -> None:
    """Send an exception that nobody caught through the log, so that its message stays out of standard error too."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            structlog.get_logger().critical("process crashed", exc_info=(kind, error, trace))

    sys.excepthook = hook
