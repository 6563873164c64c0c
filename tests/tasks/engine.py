"""The task engine without a web server: people, images and answers, straight on a database.

Each method is one transaction, as a request is. The time is the engine's own and stands still
until somebody moves it.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection

from crowd.accounts import service as accounts
from crowd.accounts.auth import Actor
from crowd.accounts.models import Worker
from crowd.core import clock
from crowd.core.db import AnyRow, Database
from crowd.images.history import Happening, record
from crowd.images.models import Image, ImageState, Rights, Supplier, What
from crowd.policy import Grade, Stage
from crowd.review import talk
from crowd.runtime import Runtime
from crowd.tasks import answers, decisions, handover, leases
from crowd.tasks.decisions import Decision
from crowd.tasks.flow import Cause
from crowd.tasks.leases import QueueState
from crowd.tasks.marks import SIGHT_SECONDS, MarkBook
from crowd.tasks.models import Kind, Task, TaskState
from crowd.tasks.taxonomies import shelf
from crowd.tiers import service as tiers
from crowd.wiring import wire

OPEN = (TaskState.READY, TaskState.LEASED, TaskState.STUCK, TaskState.ASSIGNED)

CATEGORIES = {"top": "blouses", "bottom": "jeans", "outer": "coats", "dress": "dresses"}
RING = [[1, 1], [50, 1], [50, 90]]
STYLES = ("street", "resort", "country", "retro")


@dataclass(frozen=True, slots=True)
class Lease:
    """A task in somebody's hands, as they were told."""

    worker_id: int
    task_id: int
    token: int
    image_id: int
    stage: Stage
    round: int
    cause: Cause | None
    until: datetime
    labels: Mapping[str, Any]


class Engine:
    """The services of a runtime as a crowd uses them. `now` is the time that they are told."""

    def __init__(self, rt: Runtime, now: datetime | None = None) -> None:
        wire(rt)
        self.rt = rt
        self.db = rt.db
        self.policy = rt.policy
        self.now = now or clock.now()
        self.taxonomy_id = shelf(rt).present_id()
        self.rulebook = answers.Rulebook(rt.policy, shelf(rt))
        self.crew: dict[Grade, list[int]] = {grade: [] for grade in Grade}
        self.book = eager_book()
        self.is_alone = True

    def again(self) -> "Engine":
        """The same crowd at the same time over connections of its own, as another process has."""
        other = Engine(replace(self.rt, db=open_database(self.rt.db.url)), self.now)
        other.crew = self.crew
        self.is_alone = other.is_alone = False
        for engine in (self, other):
            engine.book = eager_book(sight=SIGHT_SECONDS)
        return other

    def hire(self, grade: Grade) -> int:
        """A new person."""
        with self.db.begin() as conn:
            person = accounts.create_worker(conn, f"{grade}-{os.urandom(6).hex()}", grade, None)
        self.crew[grade].append(person.id)
        return person.id

    def add_image(self) -> int:
        """A new image, accepted at intake, with its first task."""
        with self.db.begin() as conn:
            return self.add_image_in(conn)

    def add_image_in(self, conn: Connection) -> int:
        """The same as part of a transaction."""
        supplier = conn.execute(sa.select(Supplier.id).limit(1)).scalar_one_or_none()
        if supplier is None:
            values = {"name": "a shop", "created_at": self.now}
            supplier = conn.execute(sa.insert(Supplier).values(values).returning(Supplier.id)).scalar_one()
        image_id: int = conn.execute(
            sa.insert(Image)
            .values(
                supplier_id=supplier,
                file_name="photo.jpg",
                rights=Rights.OWNED,
                sha256=os.urandom(32),
                state=ImageState.IN_WORK,
                width=100,
                height=200,
                created_at=self.now,
            )
            .returning(Image.id)
        ).scalar_one()
        record(conn, image_id, Happening(What.UPLOADED), self.now)
        decisions.open_first(conn, image_id, self.now)
        return image_id

    def claim(self, worker_id: int, stage: Stage | None = None) -> Lease | QueueState:
        """See leases.claim."""
        claimant = self._claimant(worker_id)
        with self.db.begin() as conn:
            unmarked = self._without_marks(conn, claimant, stage) if self.is_alone else None
            task = leases.claim(conn, claimant, self.policy, self.now, stage, book=self.book)
            lease = task if isinstance(task, QueueState) else _lease(conn, task)
        assert not self.is_alone or lease == unmarked, "marks spare a search, they do not change it"
        return lease

    def _without_marks(
        self, conn: Connection, claimant: leases.Claimant, stage: Stage | None
    ) -> Lease | QueueState:
        trial = conn.begin_nested()
        task = leases.claim(conn, claimant, self.policy, self.now, stage)
        lease = task if isinstance(task, QueueState) else _lease(conn, task)
        trial.rollback()
        return lease

    def claim_batch(self, worker_id: int, limit: int) -> list[Lease]:
        """See leases.claim_batch."""
        claimant = self._claimant(worker_id)
        with self.db.begin() as conn:
            unmarked = self._batch_without_marks(conn, claimant, limit) if self.is_alone else None
            tasks = leases.claim_batch(conn, claimant, self.policy, self.now, limit, book=self.book)
            taken = [_lease(conn, task) for task in tasks]
        assert not self.is_alone or taken == unmarked, "marks spare a search, they do not change it"
        return taken

    def _batch_without_marks(self, conn: Connection, claimant: leases.Claimant, limit: int) -> list[Lease]:
        trial = conn.begin_nested()
        tasks = leases.claim_batch(conn, claimant, self.policy, self.now, limit)
        taken = [_lease(conn, task) for task in tasks]
        trial.rollback()
        return taken

    def answer(self, lease: Lease, result: object, kind: Kind = Kind.SUBMIT) -> str | None:
        """See answers.answer; the code of its Conflict, None for an answer that stands."""
        with self.db.begin() as conn:
            given = answers.Given(lease.token, kind, result, 1.5)
            refused = answers.answer(conn, lease.worker_id, lease.task_id, given, self.rulebook, self.now)
        return refused.code if refused else None

    def heartbeat(self, lease: Lease) -> datetime:
        """See leases.heartbeat."""
        with self.db.begin() as conn:
            task, token = lease.task_id, lease.token
            return leases.heartbeat(conn, lease.worker_id, task, token, self.policy, self.now)

    def release(self, lease: Lease, *, skip: bool = False) -> None:
        """See leases.release."""
        with self.db.begin() as conn:
            task, token = lease.task_id, lease.token
            leases.release(
                conn, lease.worker_id, task, leases.GivenBack(token, skip=skip), self.policy, self.now
            )

    def tidy(self) -> bool:
        """See leases.tidy."""
        with self.db.begin() as conn:
            return leases.tidy(conn, self.policy, self.now)

    def decide(self, admin_id: int, image_id: int, state: ImageState, stage: Stage) -> None:
        """See decisions.decide."""
        with self.db.begin() as conn:
            decision = Decision(state, stage, "because")
            decisions.decide(conn, admin_id, image_id, decision, self.policy, self.now)

    def suspend(self, worker_id: int) -> None:
        """See tiers.suspend."""
        with self.db.begin() as conn:
            tiers.suspend(conn, worker_id, by=None, reason="because")

    def reinstate(self, worker_id: int) -> None:
        """See tiers.reinstate."""
        with self.db.begin() as conn:
            tiers.reinstate(conn, worker_id, by=None, reason="because")

    def regrade(self, worker_id: int, grade: Grade) -> None:
        """See tiers.regrade."""
        with self.db.begin() as conn:
            tiers.regrade(conn, worker_id, grade, by=None, reason="because")

    def say(self, worker_id: int, task_id: int, text: str) -> None:
        """See talk.say."""
        with self.db.begin() as conn:
            talk.say(conn, actor(conn, worker_id), task_id, text, self.now)

    def open_tasks(self, image_id: int | None = None) -> Sequence[AnyRow]:
        """The open tasks (of one image), oldest first."""
        columns = (Task.id, Task.image_id, Task.stage, Task.state, Task.round)
        statement = sa.select(*columns).where(Task.state.in_(OPEN)).order_by(Task.id)
        if image_id is not None:
            statement = statement.where(Task.image_id == image_id)
        with self.db.read() as conn:
            return conn.execute(statement).all()

    def tasks_of(self, image_id: int) -> Sequence[AnyRow]:
        """Every task that an image ever had, oldest first."""
        columns = Task.__table__.columns
        with self.db.read() as conn:
            return conn.execute(sa.select(*columns).where(Task.image_id == image_id).order_by(Task.id)).all()

    def task(self, task_id: int) -> AnyRow:
        """A task as it is now."""
        with self.db.read() as conn:
            return conn.execute(sa.select(*Task.__table__.columns).where(Task.id == task_id)).one()

    def image_state(self, image_id: int) -> ImageState:
        """Where an image stands."""
        with self.db.read() as conn:
            state: ImageState = conn.execute(sa.select(Image.state).where(Image.id == image_id)).scalar_one()
        return state

    def people_for(self, stage: Stage) -> Sequence[int]:
        """Everybody who is of a grade that may do the stage and not suspended."""
        grades = sorted(self.policy.stages[stage].grades)
        able = sa.select(Worker.id).where(Worker.grade.in_(grades), Worker.suspended_at.is_(None))
        with self.db.read() as conn:
            return conn.execute(able.order_by(Worker.id)).scalars().all()

    def pass_one(self) -> bool:
        """Somebody does one ready task well. False when nobody can do anything."""
        for stage in dict.fromkeys(task.stage for task in self.open_tasks()):
            for worker_id in self.people_for(stage):
                lease = self.claim(worker_id, stage)
                if isinstance(lease, Lease):
                    assert self.answer(lease, passing(lease)) is None
                    return True
        return False

    def lead(self, image_id: int, stage: Stage) -> None:
        """Have the crew bring the only image in work up to a stage."""
        for _ in range(10):
            tasks = self.open_tasks(image_id)
            if tasks and tasks[0].stage is stage:
                return
            assert self.pass_one()
        raise AssertionError(f"image {image_id} does not get to {stage}")

    def image_at(self, stage: Stage) -> int:
        """A new image, the only one in work, whose next stage is `stage`."""
        image_id = self.add_image()
        self.lead(image_id, stage)
        return image_id

    def clear(self) -> None:
        """Withdraw whatever is in work."""
        for image_id in dict.fromkeys(task.image_id for task in self.open_tasks()):
            self.decide(self.crew[Grade.ADMIN][0], image_id, ImageState.WITHDRAWN, Stage.SEGMENTATION)

    def _claimant(self, worker_id: int) -> leases.Claimant:
        return leases.Claimant(worker_id, self.taxonomy_id)


def eager_book(*, sight: float = 0.0) -> MarkBook:
    """Marks that move at every claim, so that even a short queue is entered behind them.

    `sight`: seconds between two looks at the newest tasks; 0 is for a crowd that is alone.
    """
    return MarkBook(stride=0, pause=0.0, sight=sight)


def open_database(url: str, *, pool_size: int = 4) -> Database:
    """A database whose SQLite does not wait for the disk: no test here is about power cuts."""
    database = Database(url, pool_size=pool_size)
    if database.is_sqlite:
        event.listen(database.engine, "connect", _without_sync)
    return database


def actor(conn: Connection, worker_id: int) -> Actor:
    """The person as a request of theirs would be seen."""
    columns = (Worker.id, Worker.username, Worker.grade, Worker.suspended_at)
    row = conn.execute(sa.select(*columns).where(Worker.id == worker_id)).one()
    return Actor(row.id, row.username, row.grade, row.suspended_at is not None, "token")


def passing(lease: Lease, variant: int = 0) -> dict[str, Any]:
    """A valid answer with which the image goes on."""
    match lease.stage:
        case Stage.SEGMENTATION:
            parts = [list(CATEGORIES)[variant % 4], list(CATEGORIES)[variant // 4 % 4]]
            regions = [{"id": f"r{n}", "part": part, "rings": [RING]} for n, part in enumerate(parts)]
            return {"regions": regions[: 1 + variant % 2]}
        case Stage.ATTRIBUTES:
            regions = lease.labels["segmentation"]["regions"]
            return {"regions": {each["id"]: {"category": CATEGORIES[each["part"]]} for each in regions}}
        case Stage.STYLES:
            return {"styles": [STYLES[variant % 4]], "unsure": False}
        case Stage.ADJUDICATION if lease.cause is Cause.STYLES:
            return {"styles": [STYLES[variant % 4]]}
    return {"score": 4 + variant % 2}


def rejecting(blame: Stage | None = None, comment: str = "", score: int = 2) -> dict[str, Any]:
    """A valid verdict of 1–3."""
    return {"score": score, "blame": blame, "reasons": ["missing"], "comment": comment}


def _lease(conn: Connection, task: AnyRow) -> Lease:
    view = handover.task_view(conn, task)
    cause = Cause(view["cause"]) if view.get("cause") else None
    return Lease(
        task.worker_id,
        view["id"],
        view["lease"]["token"],
        view["image"]["id"],
        Stage(view["stage"]),
        view["round"],
        cause,
        task.lease_until,
        view["labels"],
    )


def later(engine: Engine, seconds: float) -> None:
    """Let time pass."""
    engine.now += timedelta(seconds=seconds)


def _without_sync(dbapi_connection: Any, _record: object) -> None:
    dbapi_connection.execute("PRAGMA synchronous=OFF")
