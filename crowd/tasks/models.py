"""Tables of tasks, claims, answers and labels. Narrow where the queue is read, wide elsewhere."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Coded, Json, UtcDateTime
from crowd.images.models import STAGE
from crowd.policy import Stage
from crowd.tasks.flow import Cause


class TaskState(StrEnum):
    """Where a task stands. Only the `*_queries` of this room write it, by guarded updates.

    Each state with who moves it out: ready (a claim), assigned (a claim by whom it is assigned to, or the
    end of the assignment), leased (its holder, or the reaper once
    the lease has expired), done (nobody), closed (nobody: the image moved on),
    stuck (a late answer, a heartbeat, or an admin's decision).
    """

    READY = "ready"
    LEASED = "leased"
    DONE = "done"
    CLOSED = "closed"
    STUCK = "stuck"
    # Ready, but kept for a person or group; counts as ready.
    ASSIGNED = "assigned"


class Purpose(StrEnum):
    """What a task is for. All but `work` are shadow seats: their answers are evidence and move no image.

    A slot is a seat that nobody has taken yet: closed, a number in the order of its stage's queue.
    """

    WORK = "work"
    SLOT = "slot"
    GOLD = "gold"
    EXAM = "exam"
    PRACTICE = "practice"
    OVERLAP = "overlap"
    APPEAL = "appeal"
    AUDIT = "audit"


# Of these whoever sits there knows; of the other shadow seats nobody is told.
OPEN_SHADOWS = frozenset({Purpose.PRACTICE, Purpose.EXAM})
# Told beside the task, which has the fields of any other: no secret, and judged on a screen of its own.
TOLD_BESIDE = frozenset({Purpose.AUDIT})


class Kind(StrEnum):
    """What a person did with a task."""

    SUBMIT = "submit"
    SEND_BACK = "send_back"


class Standing(StrEnum):
    """Whether an answer counted, or is kept as evidence only, and why."""

    COUNTED = "counted"
    SUPERSEDED = "superseded"
    LEASE_LOST = "lease_lost"
    # In time and whole, but given in a shadow seat.
    EVIDENCE = "evidence"


class Part(StrEnum):
    """The part a person has had in an image; it decides what they may not do later."""

    LABELLED = "labelled"
    FIRST_REVIEW = "first_review"
    SECOND_REVIEW = "second_review"
    ADJUDICATION = "adjudication"


TASK_STATE = Coded(TaskState)
PURPOSE = Coded(Purpose)
PART = Coded(Part)
_READY = f"state = {TASK_STATE.code(TaskState.READY)}"
_LEASED = f"state = {TASK_STATE.code(TaskState.LEASED)}"
_STUCK = f"state = {TASK_STATE.code(TaskState.STUCK)}"
_ASSIGNED = f"state = {TASK_STATE.code(TaskState.ASSIGNED)}"
_TAKEN = f"state IN ({TASK_STATE.code(TaskState.LEASED)}, {TASK_STATE.code(TaskState.DONE)})"


def _partial(name: str, *columns: Any, where: str, unique: bool = False) -> sa.Index:
    condition = sa.text(where)
    return sa.Index(
        name,
        *columns,
        unique=unique,
        postgresql_where=condition,
        sqlite_where=condition,
    )


class Task(Base):
    """One seat of one stage of one image in one round: what a person claims.

    `token` rises with every claim and every release; only the newest is good. `reserved_for`
    keeps rework for the author of the rejected answer until `reserved_until`.
    """

    __tablename__ = "tasks"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"))
    stage: Mapped[Stage] = mapped_column(STAGE)
    round: Mapped[int] = mapped_column(sa.SmallInteger)
    seat: Mapped[int] = mapped_column(sa.SmallInteger)
    state: Mapped[TaskState] = mapped_column(TASK_STATE)
    bounced: Mapped[bool] = mapped_column(default=False)
    batch: Mapped[bool] = mapped_column(default=False)
    priority: Mapped[int] = mapped_column(sa.SmallInteger, default=0)
    cause: Mapped[Cause | None] = mapped_column(Coded(Cause))
    disputed: Mapped[Stage | None] = mapped_column(STAGE)
    token: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    worker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    reserved_for: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    reserved_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    excluded_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    # The assignment it belongs to, or did before it came back from it. No foreign key: SQLite could not
    # take the column away again without a copy of the table, and with it of every trigger.
    assignment_id: Mapped[int | None] = mapped_column(sa.BigInteger)
    taxonomy_id: Mapped[int | None] = mapped_column(sa.ForeignKey("taxonomies.id"))
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    purpose: Mapped[Purpose] = mapped_column(PURPOSE, server_default="0")

    __table_args__ = (
        sa.UniqueConstraint("image_id", "stage", "round", "seat", name="uq_tasks_seat"),
        # Two people in the two seats, whatever raced: one person takes a stage once a round.
        _partial(
            "uq_tasks_person",
            "image_id",
            "stage",
            "round",
            "worker_id",
            where=_TAKEN,
            unique=True,
        ),
        _partial(
            "ix_tasks_ready",
            "stage",
            "bounced",
            "priority",
            "id",
            where=f"{_READY} AND reserved_for IS NULL",
        ),
        # What was claimed before and came back, maybe in front of where claims begin to look.
        _partial(
            "ix_tasks_returned",
            "stage",
            "bounced",
            "priority",
            "id",
            where=f"{_READY} AND reserved_for IS NULL AND token > 0",
        ),
        _partial(
            "ix_tasks_reserved",
            "reserved_for",
            "id",
            where=f"{_READY} AND reserved_for IS NOT NULL",
        ),
        _partial(
            "ix_tasks_reserved_until",
            "reserved_until",
            where=f"{_READY} AND reserved_until IS NOT NULL",
        ),
        # Few of millions of tasks are leased or reserved, so that the planner's sample may hold none and
        # every index of them looks empty, hence as good as any other. So the conditions of these differ:
        # a search by person cannot use the index by time.
        _partial("ix_tasks_leased", "worker_id", where=_LEASED),
        _partial("ix_tasks_lease_until", "lease_until", where="lease_until IS NOT NULL"),
        _partial("ix_tasks_stuck", "stage", "id", where=_STUCK),
        # An assignment's queue, read from its head, and how many of its tasks stand where.
        _partial(
            "ix_tasks_assignment",
            "assignment_id",
            "state",
            "stage",
            "priority",
            "id",
            where="assignment_id IS NOT NULL",
        ),
        _partial("ix_tasks_assigned", "stage", "opened_at", where=_ASSIGNED),
        sa.CheckConstraint(
            f"state <> {TASK_STATE.code(TaskState.LEASED)} OR "
            "(worker_id IS NOT NULL AND lease_until IS NOT NULL)",
            name="leased_has_holder",
        ),
        sa.CheckConstraint("(reserved_for IS NULL) = (reserved_until IS NULL)", name="reserved_whole"),
        # Whatever code forgets about purposes: nobody finds a shadow seat in the queue.
        sa.CheckConstraint("purpose = 0 OR state <> 0 OR reserved_for IS NOT NULL", name="shadow_unseen"),
    )


class Claim(Base):
    """Who was given which token of a task. Append-only."""

    __tablename__ = "claims"

    task_id: Mapped[int] = mapped_column(sa.ForeignKey("tasks.id"), primary_key=True)
    token: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (sa.Index("ix_claims_worker", "worker_id", "task_id"),)


class Miss(Base):
    """A person let the task expire or skipped it; until `skip_until` it is kept from them."""

    __tablename__ = "misses"

    task_id: Mapped[int] = mapped_column(sa.ForeignKey("tasks.id"), primary_key=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"), primary_key=True)
    skip_until: Mapped[datetime | None] = mapped_column(UtcDateTime)

    # By time, so that a claim reads what the person skips now, and not all that they ever skipped.
    __table_args__ = (
        _partial("ix_misses_skipped", "worker_id", "skip_until", "task_id", where="skip_until IS NOT NULL"),
    )


class Submission(Base):
    """An answer, exactly as it was accepted. Append-only (a trigger holds it)."""

    __tablename__ = "submissions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    task_id: Mapped[int] = mapped_column(sa.ForeignKey("tasks.id"))
    token: Mapped[int] = mapped_column(sa.BigInteger)
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"))
    stage: Mapped[Stage] = mapped_column(STAGE)
    round: Mapped[int] = mapped_column(sa.SmallInteger)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"))
    kind: Mapped[Kind] = mapped_column(Coded(Kind))
    standing: Mapped[Standing] = mapped_column(Coded(Standing))
    result: Mapped[Any] = mapped_column(Json)
    seconds: Mapped[float | None]
    at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        sa.UniqueConstraint("task_id", "token", name="uq_submissions_token"),
        # One answer a task counts, whatever arrives twice or late.
        _partial("uq_submissions_counted", "task_id", where="standing = 0", unique=True),
        sa.Index("ix_submissions_image", "image_id", "stage", "round"),
        sa.Index("ix_submissions_worker", "worker_id", "id"),
    )


class Label(Base):
    """The labels of one stage of an image as they stood from then on. Append-only (a trigger holds it).

    `worker_id` is the author, or null when several people settled them.
    """

    __tablename__ = "labels"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"))
    stage: Mapped[Stage] = mapped_column(STAGE)
    round: Mapped[int] = mapped_column(sa.SmallInteger)
    worker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    taxonomy_id: Mapped[int] = mapped_column(sa.ForeignKey("taxonomies.id"))
    value: Mapped[Any] = mapped_column(Json)
    at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (sa.Index("ix_labels_image", "image_id", "stage", "id"),)


class Participation(Base):
    """A person's part in an image in one round; claims look here for who may not."""

    __tablename__ = "participations"

    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"), primary_key=True)
    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"), primary_key=True)
    part: Mapped[Part] = mapped_column(PART, primary_key=True)
    round: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True)

    # By part first: claims ask for any part but one, so no planner takes this for their look-up by image.
    __table_args__ = (sa.Index("ix_participations_part", "part", "worker_id", "image_id"),)


class QueueMark(Base):
    """Where a person's search in a stage begins, by priority; see crowd.tasks.marks. A hint, not a state."""

    __tablename__ = "queue_marks"

    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"), primary_key=True)
    stage: Mapped[Stage] = mapped_column(STAGE, primary_key=True)
    by_priority: Mapped[Any] = mapped_column(Json)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Assignment(Base):
    """Work kept for a person or a group until `deadline`: up to `count` tasks of a stage (of a batch).

    Without `count` whatever there is, and what opens later. `taken` tasks were ever kept, of which
    `returned` went back. `seen_image_id`: how far the batch has been gone through since `walked_at`.
    """

    __tablename__ = "assignments"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    stage: Mapped[Stage] = mapped_column(STAGE)
    worker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    group_id: Mapped[int | None] = mapped_column(sa.ForeignKey("groups.id"))
    batch_id: Mapped[int | None] = mapped_column(sa.ForeignKey("batches.id"))
    count: Mapped[int | None]
    deadline: Mapped[datetime] = mapped_column(UtcDateTime)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    taken: Mapped[int] = mapped_column(default=0)
    returned: Mapped[int] = mapped_column(default=0)
    seen_image_id: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    walked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        sa.CheckConstraint("(worker_id IS NULL) <> (group_id IS NULL)", name="for_one"),
        _partial("ix_assignments_running", "deadline", where="ended_at IS NULL"),
        _partial("ix_assignments_ended", "ended_at", where="ended_at IS NOT NULL"),
    )


class AssignmentTurn(StrEnum):
    """What happened to an assignment."""

    MADE = "made"
    ENDED = "ended"


class AssignmentEvent(Base):
    """An assignment was made or ended. Append-only. `actor_id` null: its deadline came."""

    __tablename__ = "assignment_events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    assignment_id: Mapped[int] = mapped_column(sa.ForeignKey("assignments.id"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    what: Mapped[AssignmentTurn] = mapped_column(Coded(AssignmentTurn))
    actor_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    reason: Mapped[str] = mapped_column(sa.Text)


class TaxonomyVersion(Base):
    """A taxonomy as it was loaded; a task keeps the one it was claimed under."""

    __tablename__ = "taxonomies"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    document: Mapped[Any] = mapped_column(Json)
    loaded_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Figure(StrEnum):
    """What is counted: tasks, answers and bounces by stage (the last two by person too), images by state."""

    READY = "ready"
    LEASED = "leased"
    STUCK = "stuck"
    DONE = "done"
    BOUNCED = "bounced"
    IMAGES = "images"


FIGURE = Coded(Figure)


class CountDelta(Base):
    """A change of a figure that is not in its base yet. Only triggers write these rows, and a correction.

    `code` is the stored number of the stage, for `images` that of the image's state. `worker_id` names
    whose answer it was; the row counts for the stage and for the person. No foreign key: it would
    lock the person's row once more on every answer.
    """

    __tablename__ = "count_deltas"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    figure: Mapped[Figure] = mapped_column(FIGURE)
    code: Mapped[int] = mapped_column(sa.SmallInteger)
    worker_id: Mapped[int | None] = mapped_column(sa.BigInteger)
    change: Mapped[int] = mapped_column(sa.BigInteger)


class Count(Base):
    """The base of a figure: all of its changes that were folded."""

    __tablename__ = "counts"

    figure: Mapped[Figure] = mapped_column(FIGURE, primary_key=True, autoincrement=False)
    code: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    value: Mapped[int] = mapped_column(sa.BigInteger)


class WorkerCount(Base):
    """The base of a person's figure (done, bounced) at a stage."""

    __tablename__ = "worker_counts"

    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"), primary_key=True)
    figure: Mapped[Figure] = mapped_column(FIGURE, primary_key=True)
    code: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True)
    value: Mapped[int] = mapped_column(sa.BigInteger)


class CountCorrection(Base):
    """A figure that a full count found to differ from what was kept. Append-only (a trigger holds it)."""

    __tablename__ = "count_corrections"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    figure: Mapped[Figure] = mapped_column(FIGURE)
    code: Mapped[int] = mapped_column(sa.SmallInteger)
    worker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    kept: Mapped[int] = mapped_column(sa.BigInteger)
    counted: Mapped[int] = mapped_column(sa.BigInteger)


class DueJob(Base):
    """When a job that is done once in a while is due; whoever moves the moment ahead does it."""

    __tablename__ = "due_jobs"

    name: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)


# The oldest ready task of a stage; rework among what is ready; second opinions that wait.
_partial("ix_tasks_opened", Task.stage, Task.opened_at, where=_READY)
_partial("ix_tasks_rework", Task.stage, Task.round, where=f"{_READY} AND reserved_for IS NULL AND round > 1")
_partial("ix_tasks_slots", Task.stage, Task.id, where=f"purpose = {PURPOSE.code(Purpose.SLOT)}")
_partial("ix_tasks_excluded", Task.stage, Task.excluded_id, where=f"{_READY} AND excluded_id IS NOT NULL")
