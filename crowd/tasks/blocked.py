"""What is blocked: ready work that nobody in good standing may take, found without reading a queue.

Whether somebody may take a task changes with who is hired, suspended or regraded, so no figure is kept of
it. What may be blocked is narrowed before it is looked at.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnySelect, literal
from crowd.images.models import STAGE
from crowd.policy import Grade, Policy, Stage
from crowd.tasks import counts
from crowd.tasks.flow import STAGES
from crowd.tasks.models import Figure, Part, Participation, Task
from crowd.tasks.queries import READY, WORK, may_not

# So many tasks or images are looked at one by one to find which of them are blocked.
LOOKED_AT = 500
# Where they cannot be narrowed to so few: so many of those that are next in line.
IN_LINE = 500
# So many people, the newest first, are asked for how few images are closed to them.
ASKED = 12


def crew_by_grade(conn: Connection) -> Counter[Grade]:
    """How many people of each grade are in good standing."""
    rows = conn.execute(
        sa.select(Worker.grade, sa.func.count()).where(*_IN_GOOD_STANDING).group_by(Worker.grade)
    )
    return Counter({row[0]: row[1] for row in rows})


_IN_GOOD_STANDING = (Worker.suspended_at.is_(None), Worker.erased_at.is_(None))


def blocked_tasks(stage: Stage, policy: Policy) -> sa.Select[int]:
    """Ready tasks of a stage that nobody in good standing may take (flow.md, "Small crews").

    What blocked means; to find them among many, add what `_sieve` says.
    """
    somebody = sa.exists(
        sa.select(Worker.id).where(
            *_IN_GOOD_STANDING,
            Worker.grade.in_(sorted(policy.stages[stage].grades)),
            *(~condition for condition in may_not(Worker.__table__.c.id, stage)),
        )
    )
    return sa.select(Task.id).where(*_waiting_at(stage), ~somebody)


def _waiting_at(stage: Stage) -> tuple[sa.ColumnElement[bool], ...]:
    return Task.state == READY, Task.reserved_for.is_(None), Task.stage == literal(stage, STAGE)


@dataclass(frozen=True, slots=True)
class _Sieve:
    """Conditions that few tasks of a stage meet. `is_all`: no task is blocked that does not meet them."""

    conditions: list[sa.ColumnElement[bool]]
    is_all: bool = True


_NOTHING = _Sieve([sa.false()])


def count_blocked(
    conn: Connection, stage: Stage, policy: Policy, crew: Counter[Grade], waiting: int
) -> tuple[int, bool]:
    """How many of the stage's tasks are blocked, and whether that is all of them."""
    able = sum(crew[grade] for grade in policy.stages[stage].grades)
    if able == 0:
        reserved = (
            Task.state == READY,
            Task.purpose == WORK,
            Task.reserved_for.is_not(None),
            Task.stage == literal(stage, STAGE),
        )
        kept = conn.execute(sa.select(sa.func.count(Task.id)).where(*reserved)).scalar_one()
        return waiting - kept, True
    sieve = _sieve(conn, stage, policy, able, waiting)
    if sieve is _NOTHING:
        return 0, True
    blocked = blocked_tasks(stage, policy).where(*sieve.conditions).subquery()
    return conn.execute(sa.select(sa.func.count()).select_from(blocked)).scalar_one(), sieve.is_all


def _sieve(conn: Connection, stage: Stage, policy: Policy, able: int, waiting: int) -> _Sieve:
    """What every blocked task of the stage meets and few others, or those where one shows up first.

    `able` people may work at the stage, and about `waiting` tasks wait there unreserved. A short queue is
    looked through as it is. Else a task can only be blocked

    - after so many rounds that `able` people can have had a hand in its image (a large crew: hardly any);
    - or where each of any few people is kept out, so for one of them more than by the other seat:
      on the images in which they had another part (in most crews somebody had none, or few).

    LOOKED_AT tasks or images are looked at for either. In a crew of about a dozen at most, all of whom had
    other parts in hundreds of images, or who can all sit in one round's seats, and in a larger one with much
    rework, that is not enough to tell all that is blocked. Then those next in line are looked at: a task
    that nobody may take stays while what stands before it is done, and so comes to stand there.
    """
    if waiting <= LOOKED_AT:
        return _Sieve([])
    if able == 0:
        return _next_in_line(conn, stage)
    late = _late_rounds(policy, able)
    if late is not None:
        found = conn.execute(_latest(stage, late, LOOKED_AT + 1)).scalars().all()
        if len(found) <= LOOKED_AT:
            return _Sieve([Task.id.in_(found)]) if found else _NOTHING
    images = _closed_images(conn, stage, policy)
    if images is not None:
        return _Sieve([Task.image_id.in_(images)]) if images else _NOTHING
    if late is not None:
        found = conn.execute(_latest(stage, late, IN_LINE)).scalars().all()
        return _Sieve([Task.id.in_(found)], is_all=len(found) < IN_LINE)
    return _next_in_line(conn, stage)


def _next_in_line(conn: Connection, stage: Stage) -> _Sieve:
    """The tasks that are claimed first, of what was bounced and of what was not."""
    lanes = []
    for bounced in (sa.true(), sa.false()):
        lane = sa.select(Task.id).where(*_waiting_at(stage), Task.bounced == bounced)
        lanes.append(conn.execute(lane.order_by(Task.priority, Task.id).limit(IN_LINE)).scalars().all())
    found = [task for lane in lanes for task in lane]
    return _Sieve([Task.id.in_(found)], is_all=max(map(len, lanes)) < IN_LINE)


def _latest(stage: Stage, late: Sequence[sa.ColumnElement[bool]], limit: int) -> sa.Select[int]:
    """Tasks of late rounds, the latest first: in them most people had part."""
    tasks = sa.select(Task.id).where(*_waiting_at(stage), *late)
    return tasks.order_by(Task.round.desc()).limit(limit)


def _late_rounds(policy: Policy, able: int) -> list[sa.ColumnElement[bool]] | None:
    """The rounds in which `able` people can all be kept out; None when the first is among them.

    Who is kept out has answered or holds a task of the image, and one person may be excluded besides.
    A round has the seats of every stage, more at styles, and a second adjudication.
    """
    most_in_a_round = sum(row.seats for row in STAGES.values()) + policy.votes_most
    first = -(-(able - 1) // most_in_a_round)
    if first <= 1:
        return None
    # Written out, and twice: only then do the planners see that the index of rework applies.
    return [Task.round > sa.literal_column("1"), Task.round >= sa.literal_column(str(first))]


def _closed_images(conn: Connection, stage: Stage, policy: Policy) -> set[int] | None:
    """A few images outside of which no task of the stage is blocked; None when they are not few.

    Of one more person than can sit in the other seats of a round, one is kept out by something else:
    another part in the image, or being excluded by name.
    """
    others = policy.votes_most - 1 if stage is Stage.STYLES else STAGES[stage].seats - 1
    wanted = max(others, 1 if stage is Stage.ADJUDICATION else 0) + 1
    images: set[int] = set()
    chosen: list[int] = []
    for person in _newest_people(conn, stage, policy):
        closed = _images_of_other_parts(conn, person, stage, LOOKED_AT // wanted + 1)
        if len(closed) <= LOOKED_AT // wanted:
            images.update(closed)
            chosen.append(person)
        if len(chosen) == wanted:
            excluded = _images_excluded_from(conn, chosen, stage)
            return None if excluded is None else images | excluded
    return None


def _newest_people(conn: Connection, stage: Stage, policy: Policy) -> Sequence[int]:
    grades = sorted(policy.stages[stage].grades)
    people = sa.select(Worker.id).where(*_IN_GOOD_STANDING, Worker.grade.in_(grades))
    return conn.execute(people.order_by(Worker.id.desc()).limit(ASKED)).scalars().all()


def _images_of_other_parts(conn: Connection, worker_id: int, stage: Stage, limit: int) -> Sequence[int]:
    # A review's part bears its stage's name.
    own = Part.LABELLED if STAGES[stage].labels else Part(stage.value)
    found = sa.select(Participation.image_id).where(
        Participation.worker_id == worker_id,
        Participation.part.in_([part for part in Part if part is not own]),
    )
    return conn.execute(found.limit(limit)).scalars().all()


def _images_excluded_from(conn: Connection, people: Sequence[int], stage: Stage) -> set[int] | None:
    found = sa.select(Task.image_id).where(
        Task.state == READY,
        Task.excluded_id.is_not(None),
        Task.excluded_id.in_(people),
        Task.stage == literal(stage, STAGE),
    )
    images = conn.execute(found.limit(LOOKED_AT + 1)).scalars().all()
    return set(images) if len(images) <= LOOKED_AT else None


def missing_grades(stage: Stage, policy: Policy) -> list[str]:
    """The grades of which one more person would unblock a stage."""
    return sorted(policy.stages[stage].grades)


def blocked_by_stage(conn: Connection, policy: Policy) -> Iterator[AnySelect]:
    """What is blocked at each stage; where that cannot be told of all, what is among the next in line."""
    crew = crew_by_grade(conn)
    waiting = counts.task_counts(conn, Figure.READY)
    for stage in Stage:
        able = sum(crew[grade] for grade in policy.stages[stage].grades)
        sieve = _sieve(conn, stage, policy, able, waiting[stage])
        if sieve is not _NOTHING:
            yield blocked_tasks(stage, policy).where(*sieve.conditions)
