"""Who dies when: fault points of every stage in turn, and any process at any moment. Decided by a seed; carried out by
a loop that sees what was reached, resumes what was stopped, and goes on.
"""

import os
import random
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from infra.local.status import State
from runtime.faults import Action, Faults, Point, Reached
from tests.acceptance.index_check import StoreKills
from tests.soak.scene import Scene

STOPPED_SECONDS = 14.0
"""Longer than a session: somebody else has the partitions by then."""
_ROWS_SECONDS = 5.0
_TAKE_OVERS = tuple(point for point in Point if point.startswith("take_over."))
_COMMITS = tuple(point for point in Point if point.startswith("commit."))
_SWEEPS = tuple(point for point in Point if point.startswith("sweep."))
_SOON = (*_TAKE_OVERS, *_COMMITS)
"""Passed at once after a rebalance."""
_BEGINS = (Point.SWEEP_1, Point.SWEEP_2)
"""Passed as soon as there is something to sweep."""
_SWEEPS_ON = (Point.SWEEP_3, Point.SWEEP_4, Point.SWEEP_5, Point.SWEEP_6, Point.SWEEP_7)
"""Passed 20 s after a take-over: where nobody dies for a while."""
_CYCLE = "soon", "soon", "sweeps", "sweeps", "soon", "sweeps", "sweeps", "soon"
"""What writers die at in each of eight minutes. Histories come and go with the minutes (`minute_of`)."""
_ALSO_SECONDS = 45.0
"""From one order for a process that may not die often to the next."""
_TIMES = 7
_DOORS = (Point.DOOR_1, Point.DOOR_2, Point.DOOR_3)
_CAPTURED_DOORS = (Point.DOOR_1, Point.DOOR_2, Point.DOOR_3)
PARTS = ("weaviate", "kafka", "connect", "postgres", "api", "builds", "apply", "beside", "hide", "capture", "ingest")
"""Of these one is killed at any moment, whatever it does."""

STAGES: dict[str, tuple[Point, ...]] = {
    "apply": (*_TAKE_OVERS, *_COMMITS, *_SWEEPS),
    "prepare": (Point.PREPARE_1, Point.PREPARE_2),
    "hide": (Point.HIDE_1, Point.HIDE_2),
    "ingest": _DOORS,
    "capture": _CAPTURED_DOORS,
}
"""Process -> the points it passes."""


def minute_of(now: float) -> int:
    """By which turns change, and histories come and go."""
    return int(now / 60)


News = tuple[Faults, Reached]
"""What happened, by whose order."""


@dataclass
class Order:
    """What is to happen at one point, at whichever of these places reaches it first."""

    places: list[Faults]
    since: float
    action: Action

    def withdraw(self, process: str, point: Point, *, but: Faults | None = None) -> bool:
        """Whether it will happen nowhere any more (but there)."""
        withdrawn = [place.withdraw(process, point) for place in self.places if place is not but]
        return all(withdrawn)


@dataclass
class Lane:
    """Orders for one kind of process: some at a time, each once reached or given up before the next."""

    faults: Faults
    process: str
    waves: Sequence[Sequence[Point]]
    """Points that are ordered together, one wave after the other, for ever."""
    dice: random.Random
    gap: float
    """Seconds that it has to be up before the next order."""
    is_up: Callable[[], bool] = lambda: True
    spacing: float = 0.0
    """Seconds from one death to the next order, at least."""
    width: int = 1
    patience: float = 60.0
    stops_every: int = 5
    """Every so many orders, the process is stopped past its session instead of killed."""
    turn: str = ""
    """Only in these minutes of `_CYCLE`; empty: always."""
    once: bool = False
    """Whether it is over when every point of every wave was reached."""
    also: Faults | None = None
    """Orders for a process of the same stage that may die less often."""
    also_after: float = 0.0
    """Seconds that an order has to go unreached before it is for that process too; 0: some are for it alone."""
    also_at: float = 0.0
    outstanding: dict[Point, Order] = field(default_factory=dict)
    queue: deque[Point] = field(default_factory=deque)
    ordered: int = 0
    given_up: Counter[Point] = field(default_factory=Counter)
    next_at: float = 0.0
    reached: Counter[Point] = field(default_factory=Counter)
    killed: Counter[Point] = field(default_factory=Counter)
    wave: int = 0

    def tick(self, now: float, news: Sequence[News]) -> None:
        """Look at what happened, give up what does not, order what is next."""
        for faults, each in news:
            ordered = self.outstanding.get(each.point)
            if each.process == self.process and ordered is not None and faults in ordered.places:
                ordered.withdraw(self.process, each.point, but=faults)
                del self.outstanding[each.point]
                self.reached[each.point] += 1
                self.killed[each.point] += each.action is Action.KILL
                self.next_at = now + max(self.gap, self.spacing)
        if now >= self.next_at - self.gap and not self.is_up():
            self.next_at = now + self.gap
        for point, order in list(self.outstanding.items()):
            if now > order.since + self.patience and order.withdraw(self.process, point):
                del self.outstanding[point]
                self.given_up[point] += 1
            elif self.also_after and now > order.since + self.also_after:
                self._order_also(point, order, now)
        if self.turn and _CYCLE[minute_of(now) % len(_CYCLE)] != self.turn:
            self._put_back()
            return
        while len(self.outstanding) < self.width and now >= self.next_at:
            if not self.queue:
                if self.outstanding or self.is_done:
                    return
                self._next_wave()
            self._order(self.queue.popleft(), now)

    def _put_back(self) -> None:
        """What was ordered and not reached is ordered again at the next turn, first."""
        for point, order in list(self.outstanding.items()):
            if order.withdraw(self.process, point):
                del self.outstanding[point]
                self.queue.appendleft(point)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.once and all(self.reached[point] for wave in self.waves for point in wave)

    def _next_wave(self) -> None:
        """Those that killed least come first."""
        points = [point for point in self.waves[self.wave % len(self.waves)] if not (self.once and self.reached[point])]
        self.dice.shuffle(points)
        self.queue.extend(sorted(points, key=lambda point: self.killed[point]))
        self.wave += 1

    def _order(self, point: Point, now: float) -> None:
        if point in self.outstanding:
            return
        self.ordered += 1
        action = Action.STOP if self.ordered % self.stops_every == 0 else Action.KILL
        place = self.faults
        if self.also is not None and not self.also_after and now >= self.also_at:
            place, self.also_at = self.also, now + _ALSO_SECONDS
        # A process passes a step of take-over once after each rebalance: the second time is 10 s later.
        times = 1 if point in _TAKE_OVERS or point in _SWEEPS else self.dice.choice((1, 1, 1, 2))
        place.order(self.process, point, action, times)
        self.outstanding[point] = Order([place], now, action)

    def _order_also(self, point: Point, order: Order, now: float) -> None:
        """Where the partitions that would come to it stay with the other process."""
        if self.also is not None and self.also not in order.places and now >= self.also_at:
            self.also_at = now + _ALSO_SECONDS
            self.also.order(self.process, point, order.action)
            order.places.append(self.also)

    def withdraw(self) -> None:
        """Nothing more."""
        for point, order in self.outstanding.items():
            order.withdraw(self.process, point)


def lanes_of(scene: Scene, seed: int, seconds: float = 0.0, gap: float = 0.0) -> list[Lane]:
    """The writers of the index, and each other stage of the launcher's: its points in turn, for so many seconds. With
    a `gap`, writers die one at a time and are left in peace for so many seconds after it.
    """

    def dice(name: str) -> random.Random:
        return random.Random(f"{seed}:{name}")

    def writers(name: str, points: tuple[Point, ...], **how: Any) -> Lane:
        return Lane(scene.beside, "apply", (points,), dice(name), gap=gap or 0.2, also=scene.launched, **how)

    lanes = [
        writers("soon", _SOON, width=1 if gap else 3, stops_every=7, turn="soon"),
        writers("begins", _BEGINS, spacing=seconds / (_TIMES * len(_BEGINS)), patience=300.0, also_after=60.0),
        writers("sweeps", _SWEEPS_ON, width=len(_SWEEPS_ON), patience=300.0, also_after=30.0, turn="sweeps"),
    ]

    def is_ready(name: str) -> bool:
        return scene.installation.unit(name).state is State.READY

    others = [
        Lane(
            scene.launched,
            name,
            (points,),
            dice(name),
            gap=8.0,
            is_up=partial(is_ready, name),
            # The launcher gives up what dies more than 7 times in 120 s.
            spacing=max(25.0, seconds / (_TIMES * len(points)) - 10.0),
        )
        for name, points in STAGES.items()
        if name != "apply"
    ]
    return [*lanes, *others]


def within(lanes: Sequence[Lane], points: str) -> list[Lane]:
    """These lanes with the points alone whose names begin so; all for an empty text."""
    for lane in lanes:
        lane.waves = [kept for wave in lane.waves if (kept := [point for point in wave if point.startswith(points)])]
    return [lane for lane in lanes if lane.waves]


def slice_of(scene: Scene, seed: int) -> list[Lane]:
    """Some of the points, each once, for a run of a minute or two; every stage is among them."""
    commits = (Point.TAKE_OVER_2, Point.TAKE_OVER_4, Point.COMMIT_3, Point.COMMIT_4, Point.COMMIT_5, Point.COMMIT_7)
    waves = {
        "prepare": (Point.PREPARE_2,),
        "hide": (Point.HIDE_2,),
        "ingest": (Point.DOOR_2,),
        "capture": (Point.DOOR_2,),
    }
    lanes = [lane for lane in lanes_of(scene, seed) if not set(lane.waves[0]) & set(_SWEEPS)]
    for lane in lanes:
        lane.turn = ""
        lane.waves, lane.once, lane.also = (waves.get(lane.process, commits),), True, None
        lane.stops_every = len(commits) if lane.process == "apply" else 100
    return lanes


@dataclass(frozen=True, slots=True)
class Kill:
    """A process that died by us, and where."""

    process: str
    point: str
    """`any` for a moment that nobody chose."""
    pid: int
    at: float
    """Wall clock, seconds."""


@dataclass
class Killer:
    """Carries everything out, in a thread, within `with`."""

    scene: Scene
    seed: int
    lanes: list[Lane]
    parts: Sequence[str] = PARTS
    part_seconds: float = 55.0
    """From one kill of any process at any moment to the next."""
    parts_once: bool = False
    """Whether each of `parts` is killed once, in that order."""
    store_kills: StoreKills = field(default_factory=StoreKills)
    kills: list[Kill] = field(default_factory=list)
    stops: list[Kill] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    on_tick: Callable[[], None] = lambda: None
    _resume: list[tuple[float, int]] = field(default_factory=list)
    _seen: set[Reached] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _turn: deque[str] = field(default_factory=deque)
    _turns: int = 0

    def __enter__(self) -> "Killer":
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is ordered or stopped any more."""
        self._stop.set()
        assert self._thread is not None
        self._thread.join(60)
        for lane in self.lanes:
            lane.withdraw()
        time.sleep(0.5)
        self._news()
        for _due, process in self._resume:
            _signal(process, signal.SIGCONT)

    @property
    def is_done(self) -> bool:
        """Whether every lane is through, and what was stopped goes on again."""
        through = all(lane.is_done for lane in self.lanes)
        return through and not self._resume and not (self.parts_once and (self._turn or not self._turns))

    def _run(self) -> None:
        dice = random.Random(f"{self.seed}:any")
        next_part = time.monotonic() + self.part_seconds / 2
        while not self._stop.wait(0.2):
            try:
                now, news = time.monotonic(), self._news()
                self._resume_due(now)
                for lane in self.lanes:
                    lane.tick(now, news)
                if now > next_part:
                    next_part = now + self.part_seconds * (0.6 + 0.8 * dice.random())
                    self._kill_any(dice)
                self.on_tick()
            except Exception as error:  # noqa: BLE001 - the run goes on, and says so at its end
                self.troubles.append(f"{type(error).__name__}: {error}")

    def _news(self) -> list[News]:
        found = [
            (faults, each)
            for faults in (self.scene.launched, self.scene.beside)
            for each in faults.reached()
            if each not in self._seen
        ]
        for _, each in found:
            self._seen.add(each)
            done = Kill(each.process, each.point, each.pid, each.at)
            if each.action is Action.KILL:
                self.kills.append(done)
            elif each.action is Action.STOP:
                self.stops.append(done)
                self._resume.append((time.monotonic() + STOPPED_SECONDS, each.pid))
        return found

    def _resume_due(self, now: float) -> None:
        for due in [each for each in self._resume if now >= each[0]]:
            self._resume.remove(due)
            _signal(due[1], signal.SIGCONT)

    def _kill_any(self, dice: random.Random) -> None:
        if not self._turn and not (self.parts_once and self._turns):
            names, self._turns = list(self.parts), self._turns + 1
            if not self.parts_once:
                dice.shuffle(names)
            self._turn.extend(names)
        if not self._turn:
            return
        name = self._turn.popleft()
        if name == "beside":
            stage, pid = dice.choice(self.scene.workers.pids() or [("", 0)])
            name = f"beside {stage}"
        else:
            unit = self.scene.installation.unit(name)
            pid = unit.pid or 0 if unit.state is State.READY else 0
            if pid and name == "weaviate":
                self._await_rows()
        if not pid or not _signal(pid, signal.SIGKILL):
            return
        if name == "weaviate":
            self.store_kills.at.append(datetime.now(UTC))
        self.kills.append(Kill(name, "any", pid, time.time()))

    def _await_rows(self) -> None:
        """Until a writer is about to insert rows, or for a few seconds."""
        told, until = Point.COMMIT_2, time.monotonic() + _ROWS_SECONDS
        places = [each for each in (self.scene.launched, self.scene.beside) if each.read("apply", told) is None]
        for each in places:
            each.order("apply", told, Action.TELL)
        while all(each.read("apply", told) is not None for each in places) and time.monotonic() < until:
            time.sleep(0.01)
        for each in places:
            each.withdraw("apply", told)


def _signal(pid: int, number: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
