"""What every stage is built of: its dead letters, its Faust app with the window in it, its process."""

from collections.abc import Callable, Sequence

from runtime.clock import Clock
from runtime.log_port import Log
from runtime.metrics import Metrics
from runtime.settings import Settings
from schemas.topics import Topics
from streams.agents import add_agent
from streams.app import StageApp, build_app
from streams.core.letter_limit import LetterLimit
from streams.dead_letters import DeadLetters
from streams.process import Activity, Hook, StageProcess
from streams.window import Delivery, OnAck, Window, Work

CAPTURE = "capture"
PREPARE = "prepare"
APPLY = "apply"
HIDE = "hide"

_WINDOW_BYTES = 48 * 1024 * 1024


def _nobody(_partition: int, _offset: int) -> None:
    """A stage without a store has none to tell its offsets."""


def _never(_delivery: Delivery) -> bool:
    return False


def open_letters(
    settings: Settings, log: Log, topics: Topics, stage: str, clock: Clock, finished: Callable[[], int]
) -> DeadLetters:
    """Dead letters of a stage; `finished` counts its records so far, for the limit."""
    limit = LetterLimit(settings.dead_letter_burst, settings.dead_letter_share)
    return DeadLetters(log, topics, stage, clock, limit=limit, finished=finished)


def stage_app(
    settings: Settings,
    group: str,
    topic: str,
    work: Work,
    on_ack: OnAck = _nobody,
    is_barrier: Callable[[Delivery], bool] = _never,
) -> StageApp:
    """A Faust app that reads one topic into a window of `work`."""
    app = build_app(settings, group)
    app.window = Window(
        work,
        app.crash_soon,
        records=settings.window,
        max_bytes=_WINDOW_BYTES,
        on_ack=on_ack,
        is_barrier=is_barrier,
    )
    add_agent(app, topic, settings.kafka_topic_prefix)
    return app


def stage_process(
    settings: Settings,
    stage: str,
    topic: str,
    app: StageApp,
    metrics: Metrics,
    clock: Clock,
    activity: Activity,
    starts: Sequence[Hook],
    stops: Sequence[Hook],
) -> StageProcess:
    """What runs an app; `starts` in order before it, `stops` in order after it."""
    return StageProcess(
        stage=stage,
        app=app,
        topic=settings.kafka_topic_prefix + topic,
        metrics=metrics,
        metrics_port=settings.metrics_port,
        clock=clock,
        activity=activity,
        starts=starts,
        stops=stops,
    )
