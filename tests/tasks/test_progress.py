"""Progress: equal to what a scan finds, in crews of every size, and read without one."""

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.images.models import ImageEvent, What
from crowd.policy import Grade, Policy, Stage
from crowd.runtime import Runtime
from crowd.tasks import blocked, counts, progress
from crowd.tasks.models import Part, Participation, Standing, Submission, Task, TaskState
from crowd.tasks.queries import LEASED, READY, STUCK
from tests.tasks.engine import Engine, Lease, later, open_database
from tests.tasks.test_counts import wander

OWN_PART = dict.fromkeys(Stage, Part.LABELLED) | {
    Stage.FIRST_REVIEW: Part.FIRST_REVIEW,
    Stage.SECOND_REVIEW: Part.SECOND_REVIEW,
    Stage.ADJUDICATION: Part.ADJUDICATION,
}

SCANNED = re.compile(r"Seq Scan on (tasks|submissions|image_events|participations|images)\b")


@pytest.fixture
def engine(rt: Runtime) -> Iterator[Engine]:
    """Nobody and nothing yet."""
    made = Engine(replace(rt, db=open_database(rt.db.url), policy=replace(rt.policy, bounce_cap=2)))
    yield made
    made.db.close()


def by_scanning(conn: Connection, policy: Policy, now: datetime) -> dict[Stage, dict[str, Any]]:
    """What the figures mean: each counted anew."""
    waiting = sa.or_(Task.state == READY, sa.and_(Task.state == LEASED, Task.lease_until <= now))
    of_tasks = sa.select(sa.func.count(Task.id))
    found = {}
    for stage in Stage:
        here = Task.stage == stage
        oldest = conn.execute(sa.select(sa.func.min(Task.opened_at)).where(waiting, here)).scalar_one()
        answers = sa.select(sa.func.count(Submission.id)).where(
            Submission.stage == stage, Submission.standing == Standing.COUNTED
        )
        bounces = sa.select(sa.func.count(ImageEvent.id)).where(
            ImageEvent.target == stage, ImageEvent.what == What.BOUNCED
        )
        nobodys = len(blocked_by_scanning(conn, stage, policy))
        found[stage] = {
            "ready": conn.execute(of_tasks.where(waiting, here)).scalar_one(),
            "leased": conn.execute(
                of_tasks.where(Task.state == LEASED, Task.lease_until > now, here)
            ).scalar_one(),
            "done": conn.execute(answers).scalar_one(),
            "bounced": conn.execute(bounces).scalar_one(),
            "blocked": nobodys,
            "blocked_at_least": False,
            "blocked_for": sorted(policy.stages[stage].grades) if nobodys else [],
            "stuck": conn.execute(of_tasks.where(Task.state == STUCK, here)).scalar_one(),
            "oldest_ready_seconds": oldest and (now - oldest).total_seconds(),
        }
    return found


def blocked_by_scanning(conn: Connection, stage: Stage, policy: Policy) -> list[tuple[int, int]]:
    """Image and id of every ready, unreserved task that nobody in good standing may take."""
    able = {
        worker.id
        for worker in conn.execute(sa.select(*Worker.__table__.c))
        if worker.grade in policy.stages[stage].grades and not (worker.suspended_at or worker.erased_at)
    }
    other_parts: dict[int, set[int]] = defaultdict(set)
    for part in conn.execute(sa.select(*Participation.__table__.c)):
        if part.part is not OWN_PART[stage]:
            other_parts[part.image_id].add(part.worker_id)
    tasks = conn.execute(sa.select(*Task.__table__.c).where(Task.stage == stage).order_by(Task.id)).all()
    seated: dict[tuple[int, int], set[int]] = defaultdict(set)
    for task in tasks:
        if task.state in (TaskState.LEASED, TaskState.DONE):
            seated[task.image_id, task.round].add(task.worker_id)
    return [
        (task.image_id, task.id)
        for task in tasks
        if task.state is TaskState.READY
        and task.reserved_for is None
        and able <= other_parts[task.image_id] | seated[task.image_id, task.round] | {task.excluded_id}
    ]


def check(engine: Engine) -> int:
    """Compare everything with a scan. Returns how many tasks are blocked."""
    with engine.db.read() as conn:
        figures = progress.progress(conn, engine.policy, engine.now)
        scanned = by_scanning(conn, engine.policy, engine.now)
        for stage in Stage:
            assert asdict(figures[stage]) == scanned[stage], stage
        nobodys = sorted(pair for stage in Stage for pair in blocked_by_scanning(conn, stage, engine.policy))
        listed: list[tuple[int, int]] = []
        after = (0, 0)
        while page := progress.troubles(conn, progress.Trouble.BLOCKED, engine.policy, after, 2):
            listed += map(progress.trouble_key, page)
            after = listed[-1]
        assert listed == nobodys
        for image in sorted({task.image_id for task in engine.open_tasks()})[:20]:
            stuck = any(task.state is TaskState.STUCK for task in engine.open_tasks(image))
            expected = stuck or image in {pair[0] for pair in nobodys}
            assert progress.needs_admin(conn, image, engine.policy) == expected
    return len(nobodys)


def meddle(engine: Engine, chance: random.Random) -> None:
    """Parts in images and exclusions as no walk of a few steps would bring them about."""
    people = [person for crew in engine.crew.values() for person in crew]
    rows: list[dict[str, Any]] = []
    for task in engine.open_tasks():
        share = chance.choice([0.6, 1])
        others = [part for part in Part if part is not OWN_PART[task.stage]]
        left_out = chance.choice(people)
        for person in people:
            if person != left_out and chance.random() < share:
                key = {"image_id": task.image_id, "worker_id": person, "part": chance.choice(others)}
                rows.append(key | {"round": 90 + len(rows)})
        with engine.db.begin() as conn:
            excluded = chance.choice([left_out, left_out, chance.choice(people)])
            conn.execute(sa.update(Task).where(Task.id == task.id).values(excluded_id=excluded))
    with engine.db.begin() as conn:
        conn.execute(sa.insert(Participation), rows)


@pytest.mark.parametrize(("seed", "looked_at"), [(0, 0), (1, 0), (2, 3), (3, 3), (4, 500)])
def test_figures_equal_a_scan_in_small_crews(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, seed: int, looked_at: int
) -> None:
    monkeypatch.setattr(blocked, "LOOKED_AT", looked_at)
    chance = random.Random(seed)
    engine.hire(Grade.ADMIN)
    for grade in (Grade.GENERAL, Grade.REVIEWER, Grade.EXPERT, Grade.INSPECTOR):
        for _ in range(chance.randint(1, 3)):
            engine.hire(grade)
    for _ in range(4):
        engine.add_image()
    for part in range(3):
        wander(engine, 100 * seed + part, 20)
        check(engine)
    later(engine, 20_000)
    engine.tidy()
    engine.add_image()
    meddle(engine, chance)
    assert check(engine) > 0
    for grade in (Grade.INSPECTOR, Grade.GENERAL, Grade.REVIEWER, Grade.EXPERT):
        for person in engine.crew[grade]:
            engine.suspend(person)
        check(engine)


def test_a_lease_that_ran_out_counts_as_ready_with_its_age(engine: Engine) -> None:
    person = engine.hire(Grade.GENERAL)
    engine.add_image()
    later(engine, 10)
    engine.add_image()
    assert isinstance(engine.claim(person), Lease)
    with engine.db.read() as conn:
        before = progress.progress(conn, engine.policy, engine.now)[Stage.SEGMENTATION]
        later(engine, 1801)
        after = progress.progress(conn, engine.policy, engine.now)[Stage.SEGMENTATION]
    assert (before.ready, before.leased, before.oldest_ready_seconds) == (1, 1, 0)
    assert (after.ready, after.leased, after.oldest_ready_seconds) == (2, 0, 1811)


def test_work_that_a_round_of_unsure_experts_leaves_is_blocked(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocked, "LOOKED_AT", 0)
    for grade in (Grade.GENERAL, Grade.EXPERT, Grade.EXPERT):
        engine.hire(grade)
    engine.image_at(Stage.STYLES)
    for expert in engine.crew[Grade.EXPERT]:
        lease = engine.claim(expert)
        assert isinstance(lease, Lease)
        engine.answer(lease, {"styles": ["street"], "unsure": True})
    assert check(engine) == 1


def test_the_one_inspector_blocks_the_other_seat(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked, "LOOKED_AT", 0)
    for grade in (Grade.GENERAL, Grade.GENERAL, Grade.EXPERT, Grade.REVIEWER, Grade.INSPECTOR):
        engine.hire(grade)
    engine.image_at(Stage.SECOND_REVIEW)
    assert check(engine) == 0
    assert isinstance(engine.claim(engine.crew[Grade.INSPECTOR][0]), Lease)
    assert check(engine) == 1


def test_in_a_large_crew_only_late_rounds_are_looked_at_and_found(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty reviewers, each with a verdict on three images: in the third round that can be."""
    monkeypatch.setattr(blocked, "LOOKED_AT", 3)
    for _ in range(20):
        engine.hire(Grade.REVIEWER)
    for _ in range(12):
        engine.add_image()
    with engine.db.begin() as conn:
        late = conn.execute(sa.select(Task.id, Task.image_id).order_by(Task.id).limit(3)).all()
        for task in late:
            conn.execute(sa.update(Task).where(Task.id == task.id).values(round=3))
            conn.execute(
                sa.insert(Participation),
                [
                    {"image_id": task.image_id, "worker_id": person, "part": Part.FIRST_REVIEW, "round": 2}
                    for person in engine.crew[Grade.REVIEWER]
                ],
            )
    with watched(engine) as statements:
        assert check(engine) == 3
    assert not any(text.startswith("SELECT participations") and "LIMIT" in text for text, _ in statements)


@contextmanager
def watched(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Collects the statements that run on an engine's database, with their parameters."""
    seen: list[tuple[str, Any]] = []

    def note(_conn: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
        seen.append((statement, values))

    event.listen(engine.db.engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine.db.engine, "before_cursor_execute", note)


# Half of the images are finished, the others wait at one stage each; one answer in five was bounced.
HISTORY = (
    """
    INSERT INTO images
        (supplier_id, file_name, rights, sha256, state, round, priority, width, height, created_at)
    SELECT (SELECT min(id) FROM suppliers), 'a.jpg', 0, sha256(n::text::bytea), n % 2, 1, 0, 10, 10, now()
    FROM generate_series(CAST(:first AS int), CAST(:last AS int)) n
    """,
    """
    INSERT INTO tasks
        (image_id, stage, round, seat, state, bounced, batch, priority, token, worker_id, opened_at)
    SELECT images.id, stage, 1, 1, CASE WHEN done THEN 2 ELSE 0 END, false, false, 0, done::int,
        CASE WHEN done THEN (SELECT min(id) FROM workers) + (images.id * 7 + stage) % 40 END,
        timestamptz '2026-01-01' + images.id * interval '1 second'
    FROM images, generate_series(0, 5) stage,
        LATERAL (SELECT state = 1 OR stage < images.id / 2 % 6 AS done) answers
    WHERE images.id > :before AND (state = 1 OR stage <= images.id / 2 % 6)
    """,
    """
    INSERT INTO submissions
        (task_id, token, image_id, stage, round, worker_id, kind, standing, result, at)
    SELECT id, 1, image_id, stage, 1, worker_id, 0, 0, '{}', now()
    FROM tasks WHERE state = 2 AND image_id > :before
    """,
    """
    INSERT INTO participations (image_id, worker_id, part, round)
    SELECT image_id, worker_id, greatest(stage - 2, 0), 1
    FROM tasks WHERE state = 2 AND image_id > :before ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO image_events (image_id, at, what, target, about_id, round)
    SELECT image_id, now(), 3, stage, worker_id, 1
    FROM tasks WHERE state = 2 AND image_id % 5 = 0 AND image_id > :before
    """,
)


def grow(engine: Engine, first: int, last: int, statements: Sequence[str] = HISTORY) -> None:
    """More images with all that happened to them, written at once; then time for upkeep and vacuum."""
    with engine.db.begin() as conn:
        before = conn.execute(sa.text("SELECT max(id) FROM images")).scalar_one()
        for statement in statements:
            conn.execute(sa.text(statement), {"first": first, "last": last, "before": before})
    counts.fold(engine.db)
    with engine.db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(sa.text("VACUUM ANALYZE"))


def plans(engine: Engine) -> list[tuple[str, int]]:
    """The plan and the buffers read of every statement behind progress, troubles and the image figures."""
    with watched(engine) as statements, engine.db.read() as conn:
        progress.progress(conn, engine.policy, engine.now)
        progress.images_by_state(conn)
        progress.troubles(conn, progress.Trouble.BLOCKED, engine.policy, (0, 0), 101)
    found = []
    with engine.db.engine.connect() as conn:
        for text, values in statements:
            cursor = conn.connection.cursor()
            cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + text, values)
            lines = "\n".join(line for (line,) in cursor.fetchall())
            hits = re.search(r"Buffers: shared (?:hit=(\d+))?(?: ?read=(\d+))?", lines)
            found.append((lines, sum(int(part or 0) for part in hits.groups()) if hits else 0))
    return found


def test_figures_are_read_without_a_scan_however_much_there_is(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine.db.is_sqlite:
        pytest.skip("what PostgreSQL plans is read here")
    monkeypatch.setattr(blocked, "LOOKED_AT", 20)
    # The first forty have all the history, in rounds too few to block; of the inspectors one has a little.
    for grade, count in {Grade.REVIEWER: 24, Grade.EXPERT: 16, Grade.INSPECTOR: 4}.items():
        for _ in range(count):
            engine.hire(grade)
    engine.add_image()
    grow(engine, 1, 500)
    with engine.db.begin() as conn:
        for image in conn.execute(sa.select(Task.image_id).where(Task.stage == Stage.ADJUDICATION).limit(5)):
            row = {"image_id": image[0], "worker_id": engine.crew[Grade.INSPECTOR][-1], "round": 1}
            conn.execute(sa.insert(Participation).values(part=Part.LABELLED, **row))
    few = plans(engine)
    grow(engine, 501, 9000)
    many = plans(engine)
    with engine.db.read() as conn:
        assert conn.execute(sa.select(sa.func.count(Task.id))).scalar_one() > 40_000
    for plan, _ in many:
        assert not SCANNED.search(plan), plan
    assert sum(buffers for _, buffers in many) < 1.5 * sum(buffers for _, buffers in few)
    check(engine)


# Images of which all that is left is their second review; so many of them that no figure can be exact.
WAITING = (
    """
    INSERT INTO images
        (supplier_id, file_name, rights, sha256, state, round, priority, width, height, created_at)
    SELECT (SELECT min(id) FROM suppliers), 'a.jpg', 0, sha256(n::text::bytea), 0, 1, 0, 10, 10, now()
    FROM generate_series(CAST(:first AS int), CAST(:last AS int)) n
    """,
    """
    INSERT INTO tasks (image_id, stage, round, seat, state, bounced, batch, priority, token, opened_at)
    SELECT id, 4, 1, seat, 0, id % 4 = 0, false, 0, 0, now()
    FROM images, generate_series(1, 2) seat WHERE id > :before
    """,
    """
    INSERT INTO participations (image_id, worker_id, part, round)
    SELECT images.id, workers.id, 0, 1
    FROM images, workers WHERE images.id > :before AND images.id % (2 + workers.id % 2) = 0
    """,
)


def test_two_inspectors_with_long_histories_do_not_have_the_whole_queue_read(engine: Engine) -> None:
    """Both had another part in more images than are looked at: in each second, and in each third one."""
    if engine.db.is_sqlite:
        pytest.skip("what PostgreSQL plans is read here")
    people = [engine.hire(Grade.INSPECTOR) for _ in range(2)]
    engine.add_image()
    grow(engine, 1, 1100, WAITING)
    few = plans(engine)
    grow(engine, 1101, 3300, WAITING)
    many = plans(engine)
    with engine.db.read() as conn:
        for person in people:
            other_parts = blocked._images_of_other_parts(conn, person, Stage.SECOND_REVIEW, 251)
            assert len(other_parts) > 250
        figures = progress.progress(conn, engine.policy, engine.now)[Stage.SECOND_REVIEW]
        troubles = progress.troubles(conn, progress.Trouble.BLOCKED, engine.policy, (0, 0), 9000)
        listed = {each["task_id"] for each in troubles if each["stage"] is Stage.SECOND_REVIEW}
        nobodys = {task for _, task in blocked_by_scanning(conn, Stage.SECOND_REVIEW, engine.policy)}
        lanes = [
            sa.select(Task.id).where(Task.stage == Stage.SECOND_REVIEW, Task.bounced == lane)
            for lane in (sa.true(), sa.false())
        ]
        ahead = [conn.execute(lane.order_by(Task.id).limit(500)).scalars().all() for lane in lanes]
    assert listed == nobodys & {task for lane in ahead for task in lane}
    assert (figures.ready, figures.blocked, figures.blocked_at_least) == (6_600, len(listed), True)
    assert 0 < len(listed) < len(nobodys)
    assert sum(buffers for _, buffers in many) < 1.5 * sum(buffers for _, buffers in few)


def test_where_a_queue_is_too_long_for_its_crew_the_next_in_line_are_told(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As "at least": in the order in which they would be claimed, what was bounced by itself."""
    people = [engine.hire(Grade.GENERAL), engine.hire(Grade.GENERAL)]
    images = [engine.add_image() for _ in range(12)]
    with engine.db.begin() as conn:
        parts = [{"image_id": image, "worker_id": person} for image in images for person in people]
        conn.execute(sa.insert(Participation).values(part=Part.FIRST_REVIEW, round=1), parts)
        conn.execute(sa.update(Task).where(Task.image_id.in_(images[-3:])).values(bounced=True))
        conn.execute(sa.update(Task).where(Task.image_id == images[5]).values(priority=-1))
    assert check(engine) == 12
    monkeypatch.setattr(blocked, "LOOKED_AT", 3)
    assert check(engine) == 12
    monkeypatch.setattr(blocked, "IN_LINE", 4)
    assert told(engine) == (7, True, [*images[:3], images[5], *images[-3:]])
    # One more with a short history, and all can be told again: that this one may take them.
    engine.hire(Grade.GENERAL)
    assert told(engine) == (0, False, [])


def test_of_much_rework_in_a_large_crew_the_latest_rounds_are_told(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocked, "LOOKED_AT", 3)
    monkeypatch.setattr(blocked, "IN_LINE", 5)
    for _ in range(20):
        engine.hire(Grade.REVIEWER)
    images = [engine.add_image() for _ in range(12)]
    with engine.db.begin() as conn:
        for nth, image in enumerate(images):
            conn.execute(sa.update(Task).where(Task.image_id == image).values(round=3 + nth))
            conn.execute(
                sa.insert(Participation).values(image_id=image, part=Part.FIRST_REVIEW, round=2),
                [{"worker_id": person} for person in engine.crew[Grade.REVIEWER]],
            )
    assert told(engine) == (5, True, images[-5:])


def told(engine: Engine) -> tuple[int, bool, list[int]]:
    """What is said of segmentation: how many tasks are blocked, whether more may be, and of which images."""
    with engine.db.read() as conn:
        figures = progress.progress(conn, engine.policy, engine.now)[Stage.SEGMENTATION]
        listed = progress.troubles(conn, progress.Trouble.BLOCKED, engine.policy, (0, 0), 99)
    return figures.blocked, figures.blocked_at_least, [each["image_id"] for each in listed]
