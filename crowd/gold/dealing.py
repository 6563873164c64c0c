"""Whether somebody who claims gets gold instead of work, and which; and the candidates shown with it.

What is decided here nobody can foresee, and nothing of it shows: docs/decisions/0011-shadow-seats.md.
"""

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.gold import queries
from crowd.ml.rules import is_withheld
from crowd.ml.serving import Shelf
from crowd.policy import Policy, Stage
from crowd.tasks.flow import LABELLING
from crowd.tasks.models import Purpose
from crowd.tasks.shadow_queries import Place

# Claims for which somebody waits for a slot in its order, before any slot near by will do.
PATIENCE = 40
# Who has met all there is is not asked for again for a while.
REST_SECONDS = 60.0
MOST_KEPT = 20_000


@dataclass(slots=True)
class Dealer:
    """Deals gold to those who claim. What it remembers is a hint of this process, and may be lost."""

    policy: Policy
    shelf: Shelf
    dice: Callable[[], float] = random.SystemRandom().random
    monotonic: Callable[[], float] = time.monotonic
    # Gold is due to a person at a stage since so many claims.
    _due: OrderedDict[tuple[int, Stage], int] = field(default_factory=OrderedDict)
    _rests: OrderedDict[tuple[int, Stage], float] = field(default_factory=OrderedDict)

    def stand_in(self, conn: Connection, worker_id: int, found: AnyRow, now: datetime) -> Place | None:
        """The gold seat this person gets instead of the task found, if one is due and can stand there."""
        key = (worker_id, found.stage)
        waited = self._due.get(key)
        if found.stage is Stage.ADJUDICATION or (waited is None and not self._is_due(conn, key)):
            return None
        picked = self._pick(conn, worker_id, found, patient=(waited or 0) < PATIENCE)
        if picked is None:
            self._due.pop(key, None)
            _remember(self._rests, key, self.monotonic() + REST_SECONDS)
            return None
        if picked.slot_id is None:
            # It stays due: the place will come where it does not show.
            _remember(self._due, key, (waited or 0) + 1)
            return None
        self._due.pop(key, None)
        seated = queries.add_seat(
            conn, picked.slot_id, picked.gold_id, worker_id, picked.source_id, Purpose.GOLD, now
        )
        if not seated:
            return None
        labels = {Stage(name): value for name, value in picked.labels.items()}
        return Place(Purpose.GOLD, picked.slot_id, picked.ghost_id, picked.source_id, labels)

    def candidates(
        self, conn: Connection, task: AnyRow, _labels: Mapping[Stage, Any]
    ) -> dict[str, Any] | None:
        """What a model proposed for the image that a gold seat shows; withheld as often as any."""
        if task.purpose is not Purpose.GOLD or task.stage not in LABELLING:
            return None
        served = self.shelf.of(conn, task.stage)
        if served is None or served.model_id is None or is_withheld(task.id, self.policy):
            return None
        value = queries.lent_candidates(conn, task.id, served.model_id)
        return None if value is None else {"model": served.title, **value}

    def _is_due(self, conn: Connection, key: tuple[int, Stage]) -> bool:
        gold = self.policy.gold
        thrown = self.dice() * 100
        if thrown >= max(gold.share_percent, gold.new_share_percent):
            return False
        if self._rests.get(key, 0.0) > self.monotonic():
            return False
        if thrown < min(gold.share_percent, gold.new_share_percent):
            return True
        is_new = queries.answered_at_most(conn, key[0], gold.new_answers) < gold.new_answers
        return thrown < (gold.new_share_percent if is_new else gold.share_percent)

    def _pick(self, conn: Connection, worker_id: int, found: AnyRow, *, patient: bool) -> AnyRow | None:
        model_id = None
        if found.stage in LABELLING:
            served = self.shelf.of(conn, found.stage)
            model_id = None if served is None else served.model_id
        thrown = self.dice()
        for beyond in (int(self.dice() * queries.MOST_PLACE), 0):
            picked = queries.pick(conn, worker_id, found, beyond, model_id, thrown, patient=patient)
            if picked is not None:
                return picked
        return None


def _remember(book: OrderedDict[tuple[int, Stage], Any], key: tuple[int, Stage], value: Any) -> None:
    book[key] = value
    while len(book) > MOST_KEPT:
        book.popitem(last=False)
