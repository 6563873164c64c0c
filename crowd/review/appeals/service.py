"""Appeals: somebody asks that an answer of theirs be judged again; an uninvolved adjudicator does, blind.

Upheld, the evidence against them is taken out and counts for them, and who judged them wrongly gets the
mark. The image is left as it is: what is wrong with it is an admin's to decide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, Forbidden, NotFound
from crowd.images.models import ImageState
from crowd.policy import Policy
from crowd.review.appeals import queries, rules
from crowd.review.appeals.rules import Bench
from crowd.review.evidence import story_of
from crowd.review.judgements import Story
from crowd.review.rechecks import queries as rechecks
from crowd.review.rechecks import service as seats
from crowd.review.rechecks.models import RecheckState
from crowd.tasks import answer_queries, image_queries
from crowd.tasks import queries as tasks
from crowd.tasks.flow import Cause
from crowd.tasks.models import Purpose
from crowd.tasks.shadows import Testimony
from crowd.tiers import evidence, quality_queries
from crowd.tiers.score import Known

_REASON = "appeal upheld"


@dataclass(frozen=True, slots=True)
class Ground:
    """What an appeal is about: the image's story, the answer's place in it, and what counts by now."""

    image_id: int
    story: Story
    place: int
    standing: Sequence[Known]

    @property
    def is_vote(self) -> bool:
        """Whether it is a vote on hard styles: then styles are named anew, and no verdict is given."""
        return rules.is_vote(self.story, self.place)

    def labels(self) -> dict[str, Any]:
        """By stage what whoever judges again is shown."""
        if self.is_vote:
            return seats.labels_before_votes(self.story, rules.place_voted(self.story, self.place))
        return seats.labels_at(self.story, rules.place_judged(self.story, self.place, self.judges()))

    def is_upheld(self, conn: Connection, said: Mapping[str, Any]) -> bool:
        """Whether what somebody uninvolved has said finds for the appellant."""
        own = self.story[self.place]
        if not self.is_vote:
            return rules.is_upheld(own, said)
        settled = queries.settled_styles(conn, self.image_id, own.round)
        return rules.is_vote_upheld(own.result, settled, said["styles"])

    def against(self) -> list[Known]:
        """What counts against the answer."""
        task_id = self.story[self.place].task_id
        return [row for row in self.standing if row.task_id == task_id and rules.stands_against(row)]

    def judges(self) -> frozenset[int]:
        """Who judged the answer to be bad."""
        return frozenset(row.judge_id for row in self.against() if row.judge_id is not None)


def appeal(
    conn: Connection, worker_id: int, task_id: int, reason: str, policy: Policy, now: datetime
) -> AnyRow:
    """A new appeal about one's own answer.

    Raises NotFound (never answered by them), and Conflict `nothing_against` (nothing counts against the
    answer, or not yet), `too_late`, `too_many_appeals`, `already_appealed`.
    """
    # One after the other: so that two at once are not both the last that is allowed.
    tasks.lock_worker(conn, worker_id)
    own = queries.own_answer(conn, task_id, worker_id)
    if own is None:
        raise NotFound("no_such_task", f"You have given no answer to a task {task_id}.")
    ground = _ground(conn, own.image_id, task_id)
    against = ground.against() if ground is not None and _is_settled(conn, own.image_id) else []
    if ground is None or not against:
        raise Conflict("nothing_against", "Nothing counts against this answer, or not yet.")
    if max(row.at for row in against) < now - timedelta(days=policy.appeals.days):
        raise Conflict("too_late", f"An appeal is possible for {policy.appeals.days} days.")
    if queries.count_open(conn, worker_id) >= policy.appeals.open_most:
        raise Conflict("too_many_appeals", f"At most {policy.appeals.open_most} may be open at a time.")
    answer = ground.story[ground.place]
    recheck_id = rechecks.add(
        conn,
        {
            "purpose": Purpose.APPEAL,
            "state": RecheckState.OPEN,
            "image_id": own.image_id,
            "task_id": task_id,
            "worker_id": worker_id,
            "stage": own.stage,
            "cause": Cause.STYLES if ground.is_vote else Cause.SPLIT,
            "labels": ground.labels(),
            "opened_at": now,
            "ripe_at": now,
            "own_score": answer.score if answer.is_verdict else None,
        },
    )
    if recheck_id is None:
        raise Conflict("already_appealed", "There is an appeal about this answer; there is one at most.")
    queries.add(
        conn,
        recheck_id=recheck_id,
        worker_id=worker_id,
        task_id=task_id,
        image_id=own.image_id,
        stage=own.stage,
        reason=reason,
        at=now,
    )
    return queries.of_person(conn, worker_id, before=None, limit=1, task_id=task_id)[0]


def heard(conn: Connection, policy: Policy, recheck: AnyRow, said: Testimony) -> None:
    """Somebody uninvolved has judged again: the appeal is decided by it."""
    (found,) = queries.appeals(conn, recheck_id=recheck.id)
    ground = _ground(conn, found.image_id, found.task_id)
    assert ground is not None, "an answer that counted stays in its image's story"
    upheld = ground.is_upheld(conn, said.result)
    bench = Bench(said.worker_id, None if ground.is_vote else said.result, said.at)
    _decide(conn, policy, found, ground, bench, upheld=upheld, why="", seat_id=said.task.id)


def settle(
    conn: Connection,
    appeal_id: int,
    *,
    admin_id: int,
    upheld: bool,
    reason: str,
    policy: Policy,
    now: datetime,
) -> dict[str, Any]:
    """An admin decides an appeal for which nobody may sit. Raises NotFound, Forbidden, Conflict.

    `already_decided`; `not_blocked`: there is somebody who can judge it blind.
    """
    found = _find(conn, appeal_id)
    if answer_queries.has_part(conn, found.image_id, admin_id) or found.worker_id == admin_id:
        raise Forbidden("had_a_part", "Whoever had a part in an image does not decide about it.")
    recheck = rechecks.locked(conn, found.recheck_id)
    if recheck is None:
        raise Conflict("already_decided", "The appeal is decided.")
    is_lost = _image_state(conn, found.image_id) in rechecks.GONE
    if seats.seated_or_able(conn, [recheck.id], policy)[recheck.id] and not is_lost:
        raise Conflict("not_blocked", "There is somebody who can judge it blind; their verdict decides.")
    ground = _ground(conn, found.image_id, found.task_id)
    assert ground is not None, "an answer that counted stays in its image's story"
    rechecks.close(conn, recheck.id, RecheckState.DROPPED, now)
    bench = Bench(admin_id, None, now)
    _decide(conn, policy, found, ground, bench, upheld=upheld, why=reason, seat_id=None)
    return view(conn, [_find(conn, appeal_id)], policy)[0]


def show(conn: Connection, appeal_id: int, policy: Policy) -> dict[str, Any]:
    """One appeal as admins see it. Raises NotFound."""
    return view(conn, [_find(conn, appeal_id)], policy)[0]


def view(conn: Connection, rows: Sequence[AnyRow], policy: Policy) -> list[dict[str, Any]]:
    """Appeals as admins see them; `blocked`: open, and nobody may sit for it."""
    waiting = [row.recheck_id for row in rows if row.upheld is None]
    able = seats.seated_or_able(conn, waiting, policy)
    return [{**row._mapping, "blocked": row.upheld is None and able[row.recheck_id] == 0} for row in rows]


def possible(
    conn: Connection, worker_id: int, policy: Policy, now: datetime, *, before: int | None, limit: int
) -> Sequence[AnyRow]:
    """What a person could appeal against, newest first."""
    since = now - timedelta(days=policy.appeals.days)
    return queries.possible(conn, worker_id, since, before, limit)


def _decide(
    conn: Connection,
    policy: Policy,
    found: AnyRow,
    ground: Ground,
    bench: Bench,
    *,
    upheld: bool,
    why: str,
    seat_id: int | None,
) -> None:
    change = rules.Ruling((), ())
    if upheld and ground.against():
        change = rules.ruling(ground.story, ground.place, ground.standing, bench, ground.image_id, policy)
    decided = queries.add_decision(
        conn,
        appeal_id=found.id,
        upheld=upheld,
        by_id=bench.judge_id,
        seat_id=seat_id,
        why=why,
        withdrawn=list(change.withdrawn),
        at=bench.at,
    )
    assert decided, "the recheck was locked and open"
    if change.instead:
        evidence.replace(
            conn,
            policy,
            change.withdrawn,
            change.instead,
            by=bench.judge_id,
            why=why or _REASON,
            at=bench.at,
        )


def _ground(conn: Connection, image_id: int, task_id: int) -> Ground | None:
    story = story_of(conn, image_id)
    place = seats.place_of(story, task_id)
    if place is None:
        return None
    standing = quality_queries.standing_about(conn, [each.task_id for each in story])
    return Ground(image_id, story, place, standing)


def _find(conn: Connection, appeal_id: int) -> AnyRow:
    found = queries.appeals(conn, appeal_id=appeal_id)
    if not found:
        raise NotFound("no_such_appeal", f"There is no appeal {appeal_id}.")
    return found[0]


def _is_settled(conn: Connection, image_id: int) -> bool:
    """Whether the image is out of work: before that an appeal would tell of seats that are still blind."""
    return _image_state(conn, image_id) in (ImageState.ACCEPTED, ImageState.HELD)


def _image_state(conn: Connection, image_id: int) -> ImageState:
    image = image_queries.image_row(conn, image_id)
    assert image is not None
    state: ImageState = image.state
    return state
