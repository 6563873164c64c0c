"""Redo: what a bad worker or reviewer answered since a moment is done again by others.

Each image is one transaction that takes the image's lock first, like every other move, decides by what it
finds then, and notes what it did: a job worker may be killed at any moment, and the next one goes on.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.engine import Connection

from crowd.accounts.auth import Actor
from crowd.accounts.service import find_person
from crowd.core import clock
from crowd.core.db import AnyRow, Database
from crowd.core.errors import Conflict, Forbidden, NotFound, field_error
from crowd.images.models import ImageState
from crowd.policy import Stage
from crowd.review import redo_queries as queries
from crowd.review.policy import PASSING
from crowd.review.redo_models import RedoState
from crowd.review.redo_rules import Charge, Fate, Given, Standing, fate_of
from crowd.tasks import decisions, image_queries
from crowd.tasks.decisions import Reopening
from crowd.tiers import flag_queries
from crowd.tiers.flag_models import FlagState

log = structlog.get_logger(__name__)

PAGE = 200
# How long a redo is left to the job worker that took it, from the last page it did.
HOLD = timedelta(minutes=5)

# Filled by the room of releases: which of these images are in one.
RELEASED: list[Callable[[Connection, Collection[int]], set[int]]] = []

_SETTLED = {ImageState.HELD: Fate.HELD, ImageState.WITHDRAWN: Fate.WITHDRAWN}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an admin wants done again: a person's answers since a moment at some stages, and why."""

    worker_id: int
    since: datetime
    stages: tuple[Stage, ...]
    reason: str


def preview(conn: Connection, wanted: Wanted, *, by: Actor | None) -> dict[str, Any]:
    """How much a redo would be, by stage and state; changes nothing. Raises what `order` raises."""
    _guard(conn, wanted, by)
    found = queries.bounds(conn, wanted.worker_id, wanted.stages, wanted.since)
    stages: dict[Stage, Counter[str]] = defaultdict(Counter)
    left: Counter[Fate] = Counter()
    images = 0
    if found.answers:
        charge = Charge(wanted.worker_id, found.first, found.last, wanted.stages)
        for fates in _fates(conn, charge):
            images += len(fates)
            opened = {image: stage for image, (_, fate, stage) in fates.items() if fate is Fate.REOPENED}
            released = {each for find in RELEASED for each in find(conn, list(opened))}
            for image, (state, fate, stage) in fates.items():
                if fate is not Fate.REOPENED:
                    left[fate] += 1
                    continue
                stages[stage][state.value] += 1
                stages[stage]["in_releases"] += image in released
    return {
        "answers": found.answers,
        "images": images,
        "stages": {stage.value: dict(counts) for stage, counts in stages.items()},
        "left_alone": {fate.value: count for fate, count in left.items()},
    }


def order(conn: Connection, wanted: Wanted, *, by: Actor | None, now: datetime) -> int:
    """Have it done by a job worker; the id of the redo. `by` None: the command line.

    Raises NotFound, Forbidden `yourself`, Conflict `not_confirmed` (neither a confirmed flag nor a
    suspension) and `redo_running`, and a 422 about `since`.
    """
    _guard(conn, wanted, by)
    found = queries.bounds(conn, wanted.worker_id, wanted.stages, wanted.since)
    redo_id = queries.add_redo(
        conn,
        worker_id=wanted.worker_id,
        since=wanted.since,
        stages=[stage.value for stage in wanted.stages],
        reason=wanted.reason,
        actor_id=by.id if by else None,
        at=now,
        state=RedoState.PENDING,
        answers=found.answers,
        looked_at=0,
        first_id=found.first or 0,
        after_id=(found.first or 1) - 1,
        last_id=found.last or 0,
        run_after=now,
    )
    if redo_id is None:
        raise Conflict("redo_running", f"A redo of worker {wanted.worker_id} is under way.")
    return redo_id


def find_redo(conn: Connection, redo_id: int) -> dict[str, Any]:
    """A redo, with its images by the stage it opened, and by why it left them alone. Raises NotFound."""
    row = queries.redo(conn, redo_id)
    if row is None:
        raise NotFound("not_found", f"There is no redo {redo_id}.")
    reopened: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for found in queries.fates(conn, redo_id):
        if found.fate is Fate.REOPENED:
            reopened[found.stage.value] += found.images
        else:
            left[found.fate.value] += found.images
    return {**row._mapping, "reopened": dict(reopened), "left_alone": dict(left)}


def run_redos(db: Database) -> int:
    """Do every redo that is due, until none is. Returns how many images were opened again.

    May run in any number of processes at once and be killed at any moment.
    """
    opened = 0
    while True:
        now = clock.now()
        with db.read() as conn:
            due = queries.due(conn, now)
        if due is None:
            return opened
        until = now + HOLD
        with db.begin() as conn:
            taken = queries.hold(conn, due.id, due.run_after, until, {})
        if taken:
            opened += _run(db, due, until)


def _run(db: Database, redo: AnyRow, until: datetime) -> int:
    stages = tuple(Stage(each) for each in redo.stages)
    charge = Charge(redo.worker_id, redo.first_id, redo.last_id, stages)
    opened, after, looked_at = 0, redo.after_id, redo.looked_at
    while True:
        with db.read() as conn:
            page = queries.answers(conn, redo.worker_id, stages, after, redo.last_id, PAGE)
        for image_id in dict.fromkeys(row.image_id for row in page):
            with db.begin() as conn:
                opened += _do(conn, redo, charge, image_id, clock.now())
        if page:
            after, looked_at = page[-1].id, looked_at + len(page)
            before, until = until, max(clock.now() + HOLD, until + timedelta(microseconds=1))
            with db.begin() as conn:
                progress = {"after_id": after, "looked_at": looked_at}
                if not queries.hold(conn, redo.id, before, until, progress):
                    log.warning("redo_overtaken", redo=redo.id)
                    return opened
        if len(page) < PAGE:
            with db.begin() as conn:
                queries.end(conn, redo.id, until, clock.now())
            return opened


def _do(conn: Connection, redo: AnyRow, charge: Charge, image_id: int, now: datetime) -> bool:
    """One image. The image's lock comes first: what is read then cannot change before the commit."""
    image = image_queries.lock_image(conn, image_id)
    assert image is not None
    # Under the lock: of two job workers at the same redo the second one finds it met.
    if queries.has_met(conn, redo.id, image_id):
        return False
    fate, stage = fate_of(_standings(conn, {image_id: image})[image_id], charge)
    if fate is Fate.REOPENED and not decisions.is_ready_for(conn, image_id, stage):
        fate = Fate.INCOMPLETE
    if fate is Fate.REOPENED:
        why = {"reason": redo.reason, "redo": redo.id}
        decisions.reopen(conn, image, stage, Reopening(redo.actor_id, why, redo.worker_id), now)
    queries.note(conn, redo.id, image_id, fate, stage, now)
    return fate is Fate.REOPENED


def _fates(conn: Connection, charge: Charge) -> Iterator[dict[int, tuple[ImageState, Fate, Stage]]]:
    """State, fate and stage of every image concerned, a page at a time, each image once."""
    seen: set[int] = set()
    after = charge.first - 1
    while page := queries.answers(conn, charge.worker_id, charge.stages, after, charge.last, PAGE):
        after = page[-1].id
        new = {row.image_id for row in page} - seen
        seen |= new
        images = queries.image_states(conn, new)
        standings = _standings(conn, images)
        yield {
            image_id: (images[image_id].state, *fate_of(standing, charge))
            for image_id, standing in standings.items()
        }


def _standings(conn: Connection, images: Mapping[int, AnyRow]) -> dict[int, Standing]:
    given = queries.given(conn, list(images))
    open_stages = queries.open_stages(conn, list(images))
    return {
        image_id: Standing(
            round=image.round,
            open_stages=open_stages.get(image_id, set()),
            is_refused=image.state is ImageState.REFUSED,
            given=_given(given.get(image_id, ())),
            settled=_SETTLED.get(image.state),
        )
        for image_id, image in images.items()
    }


def _given(rows: Sequence[AnyRow]) -> list[Given]:
    return [
        Given(
            id=row.id,
            stage=row.stage,
            round=row.round,
            worker_id=row.worker_id,
            unusable=row.unusable is not None,
            passes=None if row.score is None else row.score >= PASSING,
            cause=row.cause,
            disputed=row.disputed,
        )
        for row in rows
    ]


def _guard(conn: Connection, wanted: Wanted, by: Actor | None) -> None:
    person = find_person(conn, wanted.worker_id)
    if by and by.id == person.id:
        raise Forbidden("yourself", "Nobody has their own answers done again.")
    if wanted.since > clock.now():
        raise field_error("since", "must lie in the past")
    if not person.suspended and not flag_queries.has_flag(conn, person.id, FlagState.CONFIRMED):
        raise Conflict("not_confirmed", "A redo needs a confirmed flag, or the person suspended.")
