"""The production line of candidates: tasks are taken, decoded, predicted and written, each while others are.

One line a process: it keeps its models and its pool of decoders from one run to the next. The thread that
calls `run` drives the net; decoders and the clerk, who writes and takes, work beside it. Whatever dies leaves
jobs that are due again; nothing is held in memory that the database does not know.
"""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import structlog

from crowd.core import clock
from crowd.core.db import AnyRow, Database
from crowd.core.storage import FolderStorage
from crowd.images.files import files_of
from crowd.ml import pending, queries
from crowd.ml.card import parse_card
from crowd.ml.pending import Returned, Wanted
from crowd.ml.predict import (
    ImageUnusable,
    Launched,
    ModelUnusable,
    Predictor,
    Ready,
    best_device,
    load_predictor,
)
from crowd.ml.service import title
from crowd.policy import Policy, Stage
from crowd.runtime import Runtime
from crowd.tasks.flow import LABELLING, downstream_first
from crowd.tasks.taxonomies import shelf

log = structlog.get_logger(__name__)

# Groups that are decoded, or being decoded, while the net works on one.
AHEAD = 3
# A stage's turn, where several have a model.
TURN_SECONDS = 10.0
# A model that could not be loaded, or that failed altogether, is left alone for so long.
PAUSE_SECONDS = 30.0


@dataclass(slots=True)
class Tally:
    """What a run came to: tasks that got candidates, tasks that could not, and the units the net saw."""

    made: int = 0
    failed: int = 0
    units: int = 0


@dataclass(slots=True)
class Group:
    """Tasks of one model: what the net takes at once, and what is written at once.

    `failed`: task → why it got none.
    """

    ready: list[Ready] = field(default_factory=list)
    launched: list[Launched] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    units: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a group: tasks with candidates, tasks without, and what is wrong with all of it, if so."""

    made: int
    failed: int
    broken: str | None


@dataclass(frozen=True, slots=True)
class _Item:
    wanted: Wanted
    decoding: "Future[Ready]"


@dataclass(frozen=True, slots=True)
class _Ending:
    """When to take nothing more: at a moment (monotonic seconds; None: at none), or once told to stop."""

    at: float | None
    stop: threading.Event

    def is_there(self) -> bool:
        return self.stop.is_set() or (self.at is not None and time.monotonic() >= self.at)

    def or_in(self, seconds: float) -> "_Ending":
        soon = time.monotonic() + seconds
        return _Ending(soon if self.at is None else min(self.at, soon), self.stop)


@dataclass(slots=True)
class _Work:
    """What a turn adds to, when it ends, and how many tasks it may still take (None: any number)."""

    tally: Tally
    ending: _Ending
    progress: Callable[[Tally], None]
    left: int | None


class Line:
    """See the module. `device` None: the best there is; `batch` None: found by itself."""

    def __init__(
        self, rt: Runtime, *, device: str | None = None, batch: int | None = None, decoders: int | None = None
    ) -> None:
        self._db: Database = rt.db
        self._storage: FolderStorage = rt.storage
        self._policy: Policy = rt.policy
        self._taxonomies = shelf(rt)
        self._device = device or best_device()
        self._batch = batch
        self._returned = Returned()
        self._predictors: dict[Stage, tuple[int, Predictor]] = {}
        self._resting: dict[int, float] = {}
        self._decoders = ThreadPoolExecutor(decoders or _hands(self._device), "decoder")
        self._clerk = ThreadPoolExecutor(1, "clerk")

    def run(
        self,
        stages: Sequence[Stage] = LABELLING,
        *,
        seconds: float | None = None,
        limit: int | None = None,
        stop: threading.Event | None = None,
        progress: Callable[[Tally], None] = lambda tally: None,
    ) -> Tally:
        """Make candidates until none is pending, the time is over, or `limit` tasks were taken.

        Stages take turns, the one furthest downstream first. Raises what the database raises.
        """
        ending = _Ending(None if seconds is None else time.monotonic() + seconds, stop or threading.Event())
        tally = Tally()
        worked = True
        while worked:
            worked = False
            serving = self._serving(stages)
            for model in serving:
                left = None if limit is None else limit - tally.made - tally.failed
                if ending.is_there() or left == 0:
                    return tally
                turn = ending if len(serving) == 1 else ending.or_in(TURN_SECONDS)
                worked |= self._work(model, _Work(tally, turn, progress, left))
        return tally

    def close(self) -> None:
        """End the threads."""
        self._decoders.shutdown(cancel_futures=True)
        self._clerk.shutdown()

    def predictor(self, model: AnyRow) -> Predictor | None:
        """The stage's model, loaded once; None if it cannot be used here and now."""
        held = self._predictors.get(model.stage)
        if held is not None and held[0] == model.model_id:
            # A version of the taxonomy that was published meanwhile says what may be proposed.
            held[1].taxonomy = self._taxonomies.present().taxonomy
            return held[1]
        # Two models of a stage at once may be too much for the device.
        self._predictors.pop(model.stage, None)
        try:
            loaded = self._load(model)
        except ModelUnusable as error:
            self.rest(model, str(error))
            return None
        log.info("model_loaded", model=title(model.name, model.version), device=self._device)
        self._predictors[model.stage] = model.model_id, loaded
        return loaded

    def rest(self, model: AnyRow, why: str) -> None:
        """Leave a model alone for a while: it, or the storage, is out of order here."""
        log.error("candidates_pause", model=title(model.name, model.version), why=why, seconds=PAUSE_SECONDS)
        self._resting[model.model_id] = time.monotonic() + PAUSE_SECONDS

    def take(self, stage: Stage, count: int) -> "Future[pending.Taken | None]":
        """Have the clerk take so many pending tasks."""
        return self._clerk.submit(self._take, stage, count)

    def decode(self, predictor: Predictor, wanted: Wanted) -> "Future[Ready]":
        """Have a task's image decoded."""
        return self._decoders.submit(self.prepare, predictor, wanted)

    def prepare(self, predictor: Predictor, wanted: Wanted) -> Ready:
        """Decode a task's image here and now: its thumbnail where the net would see no more of the rest.

        Raises ImageUnusable.
        """
        files = files_of(wanted.sha256, wanted.picture)
        if predictor.is_enough(wanted, self._policy.thumbnail_side):
            with contextlib.suppress(FileNotFoundError), self._storage.opened(files.thumbnail) as path:
                if (ready := predictor.prepare_small(wanted, path)) is not None:
                    return ready
        key = files.working
        try:
            with self._storage.opened(key) as path:
                return predictor.prepare(wanted, path)
        except FileNotFoundError:
            # It says of a file that is not there what it says of one that cannot be read.
            return predictor.prepare(wanted, self._storage.root / key)

    def write(self, model: AnyRow, predictor: Predictor, group: Group) -> "Future[Written]":
        """Have the clerk read, rank and write what came of a group."""
        return self._clerk.submit(self._write, model, predictor, group)

    def give_back(self, model_id: int, task_ids: Sequence[int]) -> None:
        """Let others make these."""
        if task_ids:
            with self._db.begin() as conn:
                pending.give_back(conn, model_id, task_ids, clock.now())

    def _take(self, stage: Stage, count: int) -> pending.Taken | None:
        with self._db.begin() as conn:
            return pending.take(conn, stage, count, self._policy, clock.now(), self._returned)

    def _write(self, model: AnyRow, predictor: Predictor, group: Group) -> Written:
        made, failed = self._rank(predictor, group)
        with self._db.begin() as conn:
            pending.finish(conn, model.model_id, made, failed, self._policy, clock.now())
        # Not each of them is broken: the storage is away, or the model is no good.
        is_broken = len(failed) > 1 and not made
        return Written(len(made), len(failed), next(iter(failed.values())) if is_broken else None)

    def _rank(self, predictor: Predictor, group: Group) -> tuple[dict[int, Any], dict[int, str]]:
        """What the net said of a group as candidates by task, and why of the others there are none."""

        def ranked(pair: tuple[Ready, Sequence[Any]]) -> dict[str, Any] | str:
            each, answers = pair
            try:
                return predictor.candidates(each.wanted, answers)
            except Exception as error:
                return _failure(error)

        said, failed = _collected(predictor, group)
        # Outlines take long: they are drawn by as many hands as decode.
        spread = self._decoders.map if predictor.takes_lists else map
        made: dict[int, Any] = {}
        for (each, _), found in zip(said, spread(ranked, said), strict=True):
            if isinstance(found, str):
                failed[each.wanted.task_id] = found
            else:
                made[each.wanted.task_id] = found
        return made, failed

    def _work(self, model: AnyRow, work: "_Work") -> bool:
        if time.monotonic() < self._resting.get(model.model_id, 0.0):
            return False
        predictor = self.predictor(model)
        return predictor is not None and _Turn(self, model, predictor, work).drain()

    def _serving(self, stages: Sequence[Stage]) -> list[AnyRow]:
        """The models that serve these stages now, the one furthest downstream first."""
        with self._db.read() as conn:
            rows = {row.stage: row for row in queries.served(conn) if row.model_id is not None}
        return [rows[stage] for stage in downstream_first(tuple(stages)) if stage in rows]

    def _load(self, model: AnyRow) -> Predictor:
        card = parse_card(model.card)
        path = self._storage.local(model.file)
        taxonomy = self._taxonomies.present().taxonomy
        return load_predictor(path, model.sha256, card, taxonomy, self._device, self._batch)


class _Turn:
    """A model's turn on the line: until another one serves, nothing is pending, or it is to end."""

    def __init__(self, line: Line, model: AnyRow, predictor: Predictor, work: _Work) -> None:
        self._line = line
        self._model = model
        self._predictor = predictor
        self._work = work
        self._items: deque[_Item] = deque()
        self._writes: deque[Future[Written]] = deque()
        self._taking: Future[pending.Taken | None] | None = None
        self._is_open = True
        self._is_broken = False

    def drain(self) -> bool:
        """Whether there was anything to do."""
        worked = False
        try:
            while not self._is_broken and self._has_items():
                self._make(self._next_group())
                worked = True
        finally:
            self._leave()
        while self._writes:
            self._count_write()
        return worked

    def _has_items(self) -> bool:
        """Keep AHEAD groups going, and wait for the next ones only when there is nothing else to do."""
        self._ask()
        while self._taking is not None and (self._taking.done() or not self._items):
            self._receive(self._taking.result())
            self._taking = None
            self._ask()
        return bool(self._items)

    def _ask(self) -> None:
        if self._taking is not None or not self._is_open:
            return
        batch, work = self._predictor.batch, self._work
        if work.ending.is_there() or work.left == 0:
            self._is_open = False
            return
        room = AHEAD * batch - len(self._items)
        if room < batch:
            return
        wish = room if work.left is None else min(room, work.left)
        self._taking = self._line.take(self._model.stage, wish)

    def _receive(self, taken: pending.Taken | None) -> None:
        """Have what was taken decoded; with nothing, ask no more."""
        if taken is None or not taken.tasks:
            self._is_open = False
            return
        if taken.model.model_id != self._model.model_id:
            # Another model serves by now: its tasks are the next turn's.
            self._line.give_back(taken.model.model_id, [wanted.task_id for wanted in taken.tasks])
            self._is_open = False
            return
        if self._work.left is not None:
            self._work.left -= len(taken.tasks)
        decode = self._line.decode
        self._items.extend(_Item(wanted, decode(self._predictor, wanted)) for wanted in taken.tasks)

    def _next_group(self) -> Group:
        """The next tasks, as many as the net takes at once, and beside them what cannot be decoded."""
        group, batch = Group(), self._predictor.batch
        while self._items and group.units < batch and len(group.failed) < batch:
            item = self._items[0]
            try:
                ready = item.decoding.result()
            except ImageUnusable as error:
                group.failed[item.wanted.task_id] = str(error)
            else:
                if group.ready and group.units + len(ready.units) > batch:
                    break
                group.ready.append(ready)
                group.units += len(ready.units)
            self._items.popleft()
        return group

    def _make(self, group: Group) -> None:
        try:
            self._launch(group)
        except BaseException:
            ids = [*(each.wanted.task_id for each in group.ready), *group.failed]
            self._line.give_back(self._model.model_id, ids)
            raise
        self._work.tally.units += group.units
        self._writes.append(self._line.write(self._model, self._predictor, group))
        while len(self._writes) > 1:
            self._count_write()

    def _launch(self, group: Group) -> None:
        try:
            group.launched = [self._predictor.launch(group.ready)]
        except Exception as error:
            log.warning("batch_failed", tasks=len(group.ready), error=str(error))
            self._launch_alone(group)

    def _launch_alone(self, group: Group) -> None:
        """One of the group has something that the net cannot take: the others need not suffer."""
        group.launched = []
        fine: list[Ready] = []
        for each in group.ready:
            try:
                group.launched.append(self._predictor.launch([each]))
                fine.append(each)
            except Exception as error:
                group.failed[each.wanted.task_id] = _failure(error)
        group.ready = fine

    def _leave(self) -> None:
        # What was taken and not worked on need not wait until it is clear that nobody will.
        left = [item.wanted.task_id for item in self._items]
        for item in self._items:
            item.decoding.cancel()
        if self._taking is not None and (taken := self._taking.result()) is not None:
            self._line.give_back(taken.model.model_id, [wanted.task_id for wanted in taken.tasks])
        self._line.give_back(self._model.model_id, left)
        self._items.clear()

    def _count_write(self) -> None:
        written = self._writes.popleft().result()
        self._work.tally.made += written.made
        self._work.tally.failed += written.failed
        if written.broken is not None:
            self._line.rest(self._model, written.broken)
            self._is_broken = True
        self._work.progress(self._work.tally)


def _collected(
    predictor: Predictor, group: Group
) -> tuple[list[tuple[Ready, Sequence[Any]]], dict[int, str]]:
    """What the net said of each task of a group, and why nothing is known of the others (by task).

    A GPU tells only now what went wrong there.
    """
    said: list[tuple[Ready, Sequence[Any]]] = []
    failed, waiting = dict(group.failed), iter(group.ready)
    for launched in group.launched:
        tasks = [next(waiting) for _ in launched.counts]
        try:
            said += zip(tasks, predictor.collect(launched), strict=True)
        except Exception as error:
            failed |= {each.wanted.task_id: _failure(error) for each in tasks}
    return said, failed


def _failure(error: Exception) -> str:
    return f"the model failed: {type(error).__name__}: {error}"


def _hands(device: str) -> int:
    """How many decode: every core beside a GPU; on a CPU the net itself wants most of them."""
    cores = os.cpu_count() or 1
    return cores if device.startswith("cuda") else max(1, cores // 4)
