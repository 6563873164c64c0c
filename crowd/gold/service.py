"""The pool of gold: what is added, taken out and put back, and what becomes of the answers."""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow, Database
from crowd.core.errors import Conflict, NotFound
from crowd.gold import planting, queries
from crowd.gold.match import Match, match
from crowd.gold.models import Origin, Step
from crowd.gold.planting import Ground, Wish
from crowd.gold.stock import REVIEWS
from crowd.images.models import ImageState
from crowd.policy import Policy, Stage
from crowd.policy.sections import GoldPolicy
from crowd.tasks import answer_queries, handover, image_queries
from crowd.tasks.flow import LABELLING, ORDER, Effect, Move
from crowd.tasks.models import Purpose
from crowd.tasks.moves import Moving
from crowd.tasks.rules import Judgement
from crowd.tasks.shadows import Testimony
from crowd.tasks.taxonomies import TaxonomyShelf
from crowd.taxonomy import Taxonomy
from crowd.tiers import evidence
from crowd.tiers.evidence import Evidence

# An adjudicator's task is no gold: too few people, and what they settle is what is known.
STAGES = tuple(stage for stage in Stage if stage is not Stage.ADJUDICATION)

DICE = random.SystemRandom()


def add(
    conn: Connection,
    wish: Wish,
    actor_id: int,
    policy: Policy,
    taxonomy: tuple[int, Taxonomy],
    now: datetime,
) -> list[int]:
    """New items of an accepted image; their ids.

    Raises NotFound, Conflict `not_accepted` or `already_gold`, Unprocessable.
    """
    image = image_queries.lock_image(conn, wish.image_id)
    if image is None:
        raise NotFound("no_such_image", f"There is no image {wish.image_id}.")
    if image.state is not ImageState.ACCEPTED:
        raise Conflict("not_accepted", "Only an accepted image can become gold.")
    labels = handover.present_labels(answer_queries.label_rows(conn, image.id))
    ground = Ground(image, labels, taxonomy[1], taxonomy[0], policy)
    return [_add(conn, ground, wish, stage, actor_id, now) for stage in dict.fromkeys(wish.stages)]


def from_accepted(
    policy: Policy, taxonomies: TaxonomyShelf, moving: Moving, move: Move, _judgement: Judgement
) -> None:
    """An image was accepted: where somebody had to settle it before, its labels are known to be right."""
    if move.effect is not Effect.ACCEPT:
        return
    conn, image, now = moving.conn, moving.image, moving.now
    known = retire_outdated(conn, image.id, now)
    if not policy.gold.from_adjudicated or not queries.was_adjudicated(conn, image.id):
        return
    labels = handover.present_labels(answer_queries.label_rows(conn, image.id))
    if not all(labels.get(stage) for stage in LABELLING):
        return
    taxonomy = taxonomies.version(conn, moving.taxonomy_id)
    # What is known of these labels is, or was taken out by an admin, who knows better.
    for stage in (each for each in STAGES if each not in known):
        shown, answer = planting.settled(stage, labels, taxonomy, policy.gold.bad_percent, DICE)
        _keep(
            conn,
            image.id,
            stage,
            planting.shown_at(stage, shown),
            answer,
            _origin(stage, answer, Origin.ADJUDICATED),
            moving.taxonomy_id,
            now,
            None,
            "settled by adjudication",
        )


def note_decision(conn: Connection, image_id: int, state: ImageState, _policy: Policy, now: datetime) -> None:
    """An admin has decided about an image (see decisions.DECIDED_HOOKS)."""
    if state is ImageState.ACCEPTED:
        retire_outdated(conn, image_id, now)


def retire_outdated(conn: Connection, image_id: int, now: datetime) -> set[Stage]:
    """Take out an image's items where its labels are others by now; the stages of the rest, active or not.

    While an image is worked on again none of its items is dealt; what it comes to shows at the end.
    """
    found = queries.items_of(conn, image_id)
    versions = queries.label_versions(conn, image_id) if found else ()
    present = handover.present_labels(versions)
    holding = set()
    for item in found:
        then = handover.present_labels(row for row in versions if row.at <= item.created_at)
        concerned = [stage for stage in LABELLING if ORDER[stage] <= ORDER[item.stage]]
        if all(then.get(stage) == present.get(stage) for stage in concerned):
            holding.add(item.stage)
        elif queries.set_active(conn, item.id, False):
            queries.add_event(conn, item.id, Step.RETIRED, None, "the image has other labels now", now)
    return holding


def void(db: Database, gold_id: int, actor_id: int, reason: str, policy: Policy, now: datetime) -> int:
    """An item was wrong: it leaves the pool, and its evidence counts no more; how many answers that concerns.

    Again takes out what is left. Raises NotFound.
    """
    with db.begin() as conn:
        find(conn, gold_id)
        queries.set_active(conn, gold_id, False)
        queries.add_event(conn, gold_id, Step.VOIDED, actor_id, reason, now)
        judged = queries.evidence_of(conn, gold_id)
    # One short transaction a person: each has a score reckoned anew.
    for evidence_ids in judged.values():
        with db.begin() as conn:
            evidence.replace(
                conn, policy, evidence_ids, (), by=actor_id, why=f"gold {gold_id}: {reason}", at=now
            )
    return sum(map(len, judged.values()))


def set_active(
    conn: Connection, gold_id: int, active: bool, actor_id: int, reason: str, now: datetime
) -> None:
    """Take an item out of the pool, or put it back; again changes nothing.

    Raises NotFound, and Conflict `already_gold` when another item of the image and stage is in the pool.
    """
    item = find(conn, gold_id)
    if active:
        # Whoever adds one holds this lock, too.
        image_queries.lock_image(conn, item.image_id)
        if queries.active_item(conn, item.image_id, item.stage) not in (None, gold_id):
            raise _already_gold(item.image_id, item.stage)
    if queries.set_active(conn, gold_id, active):
        step = Step.REACTIVATED if active else Step.RETIRED
        queries.add_event(conn, gold_id, step, actor_id, reason, now)


def find(conn: Connection, gold_id: int) -> AnyRow:
    """One item, with how it has fared. Raises NotFound."""
    found = queries.items(conn, gold_id=gold_id)
    if not found:
        raise NotFound("no_such_gold", f"There is no gold item {gold_id}.")
    return found[0]


def health(item: AnyRow, crews: Mapping[Stage, int], numbers: GoldPolicy) -> dict[str, Any]:
    """An item as admins see it. `crews`: how many people may work at each stage."""
    failed = item.answered - item.passed
    able = crews.get(item.stage, 0)
    return {
        **{
            name: getattr(item, name)
            for name in ("id", "image_id", "stage", "origin", "active", "created_at")
        },
        "labels": item.labels,
        "answer": item.answer,
        "served": item.served,
        "answered": item.answered,
        "passed": item.passed,
        "failed": failed,
        "mean": None if item.mean is None else round(float(item.mean), 6),
        "worn_out": able > 0 and item.served * 100 >= numbers.worn_percent * able,
        "suspicious": item.answered >= numbers.suspicious_after and item.passed == 0,
    }


def crews(conn: Connection, policy: Policy) -> dict[Stage, int]:
    """How many people in good standing may work at each stage."""
    return {stage: queries.crew(conn, sorted(policy.stages[stage].grades)) for stage in STAGES}


@dataclass(frozen=True, slots=True)
class Witness:
    """Takes the answers given on hidden gold: compared at once, and counted at once."""

    policy: Policy

    def take(self, conn: Connection, said: Testimony) -> None:
        """An answer came. Locks the person's score last of all."""
        seat, found = judge(conn, said, self.policy)
        if seat is None or said.task.purpose is not Purpose.GOLD or not _holds(seat):
            return
        shown = Evidence(
            worker_id=said.worker_id,
            stage=said.task.stage,
            kind=evidence.Kind.GOLD,
            value=found.value,
            weight=1.0,
            task_id=said.task.id,
            at=said.at,
            image_id=said.task.image_id,
        )
        evidence.record(conn, self.policy, [shown])


def judge(conn: Connection, said: Testimony, policy: Policy) -> tuple[AnyRow | None, Match]:
    """The seat of an answer, and how well the known one was met; kept with the seat."""
    seat = queries.seat(conn, said.task.id)
    if seat is None:
        return None, Match(0.0)
    found = match(said.task.stage, said.result, seat.answer, policy.gold.half_right)
    passed = found.value >= policy.gold.pass_mark
    queries.answer_seat(
        conn, said.task.id, found.value, passed, [asdict(note) for note in found.notes], said.at
    )
    return seat, found


def _holds(seat: AnyRow) -> bool:
    """Whether what is known of an item still is: it was not taken out, nor its image reopened, meanwhile."""
    return seat.active and seat.source_state is ImageState.ACCEPTED


def _add(conn: Connection, ground: Ground, wish: Wish, stage: Stage, actor_id: int, now: datetime) -> int:
    shown, known = planting.planted(ground, wish, stage, DICE)
    origin = _origin(stage, known, Origin.ADMIN)
    added = _keep(
        conn, ground.image.id, stage, shown, known, origin, ground.taxonomy_id, now, actor_id, wish.reason
    )
    if added is None:
        raise _already_gold(ground.image.id, stage)
    return added


def _origin(stage: Stage, known: Mapping[str, Any], of_good: Origin) -> Origin:
    """Bad work for reviewers is planted, whoever did it: by this queries tell it from good work."""
    return Origin.PLANTED if stage in REVIEWS and not known["passes"] else of_good


def _already_gold(image_id: int, stage: Stage) -> Conflict:
    text = f"Image {image_id} is gold at {stage} already: retire that item before another goes in."
    return Conflict("already_gold", text)


def _keep(
    conn: Connection,
    image_id: int,
    stage: Stage,
    shown: Mapping[str, Any],
    known: Any,
    origin: Origin,
    taxonomy_id: int,
    now: datetime,
    actor_id: int | None,
    reason: str,
) -> int | None:
    added = queries.add_item(
        conn,
        image_id=image_id,
        stage=stage,
        task_id=queries.first_task(conn, image_id, stage) if stage in LABELLING else None,
        taxonomy_id=taxonomy_id,
        labels=dict(shown),
        answer=known,
        origin=origin,
        place=DICE.randrange(queries.MOST_PLACE),
        created_at=now,
    )
    if added is not None:
        queries.add_event(conn, added, Step.ADDED, actor_id, reason, now)
    return added
