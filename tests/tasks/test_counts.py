"""Kept figures: equal to a full count whatever happens, folded by many, checked and corrected."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from structlog.testing import capture_logs

from crowd import jobs
from crowd.cli import main
from crowd.core.db import Database
from crowd.core.migrate import downgrade, upgrade
from crowd.images.models import ImageEvent, ImageState, What
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks import counts
from crowd.tasks.counts import Difference, Tally
from crowd.tasks.flow import send_back_targets
from crowd.tasks.models import (
    Count,
    CountCorrection,
    CountDelta,
    Figure,
    Kind,
    Standing,
    Submission,
    Task,
    TaskState,
)
from tests.tasks.engine import Engine, Lease, later, open_database, passing, rejecting

CREW = {Grade.GENERAL: 2, Grade.REVIEWER: 2, Grade.EXPERT: 3, Grade.INSPECTOR: 2, Grade.ADMIN: 1}


@pytest.fixture
def engine(rt: Runtime) -> Iterator[Engine]:
    """A crowd of ten on three images."""
    made = Engine(replace(rt, db=open_database(rt.db.url), policy=replace(rt.policy, bounce_cap=2)))
    for grade, count in CREW.items():
        for _ in range(count):
            made.hire(grade)
    for _ in range(3):
        made.add_image()
    yield made
    made.db.close()


def wander(engine: Engine, seed: int, steps: int = 60) -> None:
    """A crowd that does whatever comes to its mind."""
    chance = random.Random(seed)
    people = [person for crew in engine.crew.values() for person in crew]
    held: list[Lease] = []
    for _ in range(steps):
        person = chance.choice(people)
        match chance.choice(["answer"] * 6 + ["release", "wait", "tidy", "suspend", "decide", "grid"]):
            case "answer":
                held += _claimed(engine, person)
                if held:
                    _answer(engine, held.pop(), chance)
            case "release" if held:
                engine.release(held.pop(), skip=True)
            case "wait":
                held += _claimed(engine, person)
                later(engine, chance.choice([60, 1300, 15_000]))
            case "tidy":
                engine.tidy()
            case "suspend" if person not in engine.crew[Grade.ADMIN]:
                engine.suspend(person)
                engine.reinstate(person)
                held = [lease for lease in held if lease.worker_id != person]
            case "decide" if chance.random() < 0.5:
                image = chance.choice([task.image_id for task in engine.open_tasks()] or [engine.add_image()])
                admin = engine.crew[Grade.ADMIN][0]
                engine.decide(admin, image, ImageState.IN_WORK, Stage.SEGMENTATION)
            case "grid":
                held += engine.claim_batch(engine.crew[Grade.INSPECTOR][0], 3)


def _claimed(engine: Engine, person: int) -> list[Lease]:
    if person in engine.crew[Grade.ADMIN]:
        return []
    lease = engine.claim(person)
    return [lease] if isinstance(lease, Lease) else []


def _answer(engine: Engine, lease: Lease, chance: random.Random) -> None:
    reviewing = "score" in passing(lease)
    if reviewing and chance.random() < 0.4:
        engine.answer(lease, rejecting())
    elif send_back_targets(lease.stage) and chance.random() < 0.3:
        engine.answer(lease, {"to": None, "reasons": ["blanket"], "comment": ""}, Kind.SEND_BACK)
    elif not reviewing and chance.random() < 0.2:
        engine.answer(lease, {"unusable": "collage"})
    else:
        engine.answer(lease, passing(lease))


def of_stages(db: Database) -> dict[Figure, dict[Stage, int]]:
    """The kept figures."""
    stage_figures = [figure for figure in Figure if figure is not Figure.IMAGES]
    with db.read() as conn:
        return {figure: counts.task_counts(conn, figure) for figure in stage_figures}


def counted(db: Database) -> dict[Figure, dict[Stage, int]]:
    """The same figures, counted row by row in Python."""
    found: dict[Figure, dict[Stage, int]] = {figure: dict.fromkeys(Stage, 0) for figure in of_stages(db)}
    states = {
        TaskState.READY: Figure.READY,
        TaskState.LEASED: Figure.LEASED,
        TaskState.STUCK: Figure.STUCK,
    }
    with db.read() as conn:
        for stage, state in conn.execute(sa.select(Task.stage, Task.state)):
            if state in states:
                found[states[state]][stage] += 1
        for stage, standing in conn.execute(sa.select(Submission.stage, Submission.standing)):
            found[Figure.DONE][stage] += standing is Standing.COUNTED
        for target, what in conn.execute(sa.select(ImageEvent.target, ImageEvent.what)):
            if what is What.BOUNCED and target:
                found[Figure.BOUNCED][target] += 1
    return found


def unfolded(db: Database) -> int:
    with db.read() as conn:
        return conn.execute(sa.select(sa.func.count()).select_from(CountDelta)).scalar_one()


def found_differences(db: Database) -> list[Difference]:
    with db.read() as conn:
        return counts.differences(conn)


@pytest.mark.parametrize("seed", range(4))
def test_figures_equal_a_full_count_after_any_walk_folded_or_not(engine: Engine, seed: int) -> None:
    for part in range(3):
        wander(engine, seed * 10 + part, 25)
        expected = counted(engine.db)
        assert of_stages(engine.db) == expected
        if part == 1:
            counts.fold(engine.db)
            assert of_stages(engine.db) == expected
    assert found_differences(engine.db) == []
    assert any(expected[Figure.DONE].values())


def test_folding_leaves_no_delta_and_every_figure(engine: Engine) -> None:
    wander(engine, 5)
    before, waiting = of_stages(engine.db), unfolded(engine.db)
    assert waiting > 7
    assert counts.fold(engine.db, batch=7) == waiting
    assert unfolded(engine.db) == 0
    assert of_stages(engine.db) == before
    assert found_differences(engine.db) == []


def test_a_change_that_is_rolled_back_leaves_no_delta(engine: Engine) -> None:
    before = unfolded(engine.db)
    with engine.db.begin() as conn:
        assert conn.execute(sa.update(Task).values(state=TaskState.CLOSED)).rowcount == 3
        conn.rollback()
    assert unfolded(engine.db) == before


def test_a_heartbeat_adds_no_delta(engine: Engine) -> None:
    lease = engine.claim(engine.crew[Grade.GENERAL][0])
    assert isinstance(lease, Lease)
    before = unfolded(engine.db)
    engine.heartbeat(lease)
    assert unfolded(engine.db) == before


def test_rows_written_past_the_services_are_counted_too(engine: Engine) -> None:
    with engine.db.begin() as conn:
        one = conn.execute(sa.select(*Task.__table__.columns).limit(1)).one()._asdict()
        del one["id"]
        rows = [one | {"seat": seat, "state": TaskState.STUCK} for seat in range(2, 50)]
        conn.execute(sa.insert(Task), rows)
        conn.execute(sa.delete(Task).where(Task.seat > 40))
    assert of_stages(engine.db)[Figure.STUCK][one["stage"]] == 39
    assert found_differences(engine.db) == []


def test_figures_of_a_person_are_their_own(engine: Engine) -> None:
    for seed in range(3):
        wander(engine, seed, 40)
        counts.fold(engine.db) if seed == 1 else None
    people = [person for crew in engine.crew.values() for person in crew]
    with engine.db.read() as conn:
        kept = {person: counts.worker_counts(conn, person) for person in people}
        done = Counter(
            (row.worker_id, row.stage)
            for row in conn.execute(sa.select(Submission.worker_id, Submission.stage, Submission.standing))
            if row.standing is Standing.COUNTED
        )
        bounced = Counter(
            (row.about_id, row.target)
            for row in conn.execute(sa.select(ImageEvent.about_id, ImageEvent.target, ImageEvent.what))
            if row.what is What.BOUNCED
        )
    assert sum(bounced.values()) > 0
    for person in people:
        for stage in Stage:
            expected = Tally(done[person, stage], bounced[person, stage])
            assert kept[person].get(stage, Tally()) == expected


def test_images_are_counted_by_state(engine: Engine) -> None:
    admin = engine.crew[Grade.ADMIN][0]
    engine.decide(admin, engine.add_image(), ImageState.REFUSED, Stage.SEGMENTATION)
    with engine.db.read() as conn:
        kept = counts.image_counts(conn)
    assert kept == dict.fromkeys(ImageState, 0) | {ImageState.IN_WORK: 3, ImageState.REFUSED: 1}


def test_folders_at_the_same_time_lose_nothing(engine: Engine) -> None:
    """Three fold and two work, each over connections of their own; somebody reads all the while."""
    total = [engine.add_image() for _ in range(20)]
    stop = threading.Event()
    faults: list[BaseException] = []
    sums: set[int] = set()

    def ready_and_leased(own: Engine) -> None:
        with own.db.read() as conn:
            kept = counts.kept_rows().subquery()
            of_tasks = kept.c.figure.in_([Figure.READY, Figure.LEASED])
            sums.add(conn.execute(sa.select(sa.func.sum(kept.c.value)).where(of_tasks)).scalar_one())

    def take_and_return(own: Engine, person: int) -> None:
        lease = own.claim(person)
        assert isinstance(lease, Lease)
        own.release(lease)

    def again_and_again(act: Callable[[Engine], Any]) -> None:
        own = engine.again()
        try:
            while not stop.is_set():
                act(own)
        except BaseException as fault:
            faults.append(fault)
        finally:
            own.db.close()

    acts: list[Callable[[Engine], Any]] = [lambda own: counts.fold(own.db, batch=3)] * 3
    acts += [partial(take_and_return, person=person) for person in engine.crew[Grade.GENERAL]]
    threads = [threading.Thread(target=again_and_again, args=(act,)) for act in (*acts, ready_and_leased)]
    for thread in threads:
        thread.start()
    stop.wait(3)
    stop.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sums == {3 + len(total)}, "a reader saw a figure that never was"
    assert of_stages(engine.db) == counted(engine.db)
    counts.fold(engine.db)
    assert (unfolded(engine.db), found_differences(engine.db)) == (0, [])


def plant_drift(engine: Engine, person: int) -> None:
    """A total, a person's figure and the images' are off; the stage's total of the person's is not."""
    with engine.db.begin() as conn:
        for figure, code, worker, change in (
            (Figure.READY, 0, None, 5),
            (Figure.DONE, 2, person, -1),
            (Figure.DONE, 2, None, 1),
            (Figure.IMAGES, 1, None, 2),
        ):
            row = {"figure": figure, "code": code, "worker_id": worker, "change": change}
            conn.execute(sa.insert(CountDelta).values(row))


def test_a_drift_is_found_reported_and_corrected(engine: Engine) -> None:
    wander(engine, 3)
    counts.fold(engine.db)
    person = engine.crew[Grade.EXPERT][0]
    truth = counted(engine.db)
    with engine.db.read() as conn:
        own = counts.worker_counts(conn, person).get(Stage.STYLES, Tally()).done
        accepted = counts.image_counts(conn)[ImageState.ACCEPTED]
    plant_drift(engine, person)
    ready = truth[Figure.READY][Stage.SEGMENTATION]
    expected = [
        Difference(Figure.IMAGES, ImageState.ACCEPTED, None, accepted + 2, accepted),
        Difference(Figure.READY, Stage.SEGMENTATION, None, ready + 5, ready),
        Difference(Figure.DONE, Stage.STYLES, person, own - 1, own),
    ]
    with capture_logs() as logs:
        assert counts.reconcile(engine.db, engine.now) == expected
    assert [line["event"] for line in logs] == ["count_corrected"] * 3
    assert (logs[1]["kept"], logs[1]["counted"]) == (ready + 5, ready)
    assert of_stages(engine.db) == truth
    counts.fold(engine.db)
    assert found_differences(engine.db) == []
    with engine.db.read() as conn:
        rows = conn.execute(sa.select(*CountCorrection.__table__.c).order_by(CountCorrection.id)).all()
        assert counts.worker_counts(conn, person).get(Stage.STYLES, Tally()).done == own
    assert [(row.figure, row.worker_id, row.kept, row.counted, row.at) for row in rows] == [
        (each.figure, each.worker_id, each.kept, each.counted, engine.now) for each in expected
    ]


def test_a_drift_in_the_base_is_found_too(engine: Engine) -> None:
    counts.fold(engine.db)
    with engine.db.begin() as conn:
        conn.execute(sa.update(Count).values(value=Count.value + 1))
    assert {each.figure for each in counts.reconcile(engine.db, engine.now)} == {Figure.READY, Figure.IMAGES}
    assert counts.reconcile(engine.db, engine.now) == []


def test_two_who_reconcile_at_once_correct_a_drift_once(engine: Engine) -> None:
    plant_drift(engine, engine.crew[Grade.EXPERT][0])
    others = [engine.again() for _ in range(4)]
    found: list[list[Difference]] = []
    start = threading.Barrier(len(others))

    def correct(own: Engine) -> None:
        start.wait()
        found.append(counts.reconcile(own.db, own.now))
        own.db.close()

    threads = [threading.Thread(target=correct, args=(own,)) for own in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, found)) == [0, 0, 0, 3]
    assert found_differences(engine.db) == []


def test_reconciliation_is_done_once_a_day(engine: Engine) -> None:
    once = partial(counts.reconcile_if_due, engine.db)
    assert once(engine.now) == []
    plant_drift(engine, engine.crew[Grade.EXPERT][0])
    assert once(engine.now + timedelta(hours=23)) is None
    assert len(once(engine.now + timedelta(hours=24, seconds=1)) or ()) == 3
    assert once(engine.now + timedelta(hours=25)) is None


def test_a_reconciliation_whose_process_died_is_done_by_another(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(counts, "differences", die)
        with pytest.raises(KeyboardInterrupt):
            counts.reconcile_if_due(engine.db, engine.now)
    assert counts.reconcile_if_due(engine.db, engine.now + timedelta(minutes=59)) is None
    assert counts.reconcile_if_due(engine.db, engine.now + timedelta(minutes=61)) == []


def test_corrections_stay(engine: Engine) -> None:
    plant_drift(engine, engine.crew[Grade.EXPERT][0])
    counts.reconcile(engine.db, engine.now)
    for change in (sa.update(CountCorrection).values(kept=0), sa.delete(CountCorrection)):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.db.begin() as conn:
            conn.execute(change)


def test_upkeep_folds_and_corrects(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    wander(engine, 1, 20)
    plant_drift(engine, engine.crew[Grade.EXPERT][0])
    monkeypatch.setattr(jobs, "job_runtime", lambda: engine.rt)
    jobs.upkeep()
    assert found_differences(engine.db) == []
    jobs.upkeep()
    assert unfolded(engine.db) == 0
    assert of_stages(engine.db) == counted(engine.db)


def test_the_command_tells_and_corrects_a_drift(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", engine.db.url)
    monkeypatch.setenv("CROWD_DATA_DIR", str(engine.rt.settings.data_dir))
    person = engine.crew[Grade.EXPERT][0]
    plant_drift(engine, person)
    result = CliRunner().invoke(main, ["db", "reconcile"])
    assert result.exit_code == 1
    assert "ready segmentation: kept 8, counted 3" in result.stdout
    assert f"done styles of worker {person}: kept -1, counted 0" in result.stdout
    again = CliRunner().invoke(main, ["db", "reconcile"])
    assert (again.exit_code, again.stdout) == (0, "every figure agrees with a full count\n")


@pytest.mark.own_database
def test_the_migration_counts_what_was_there_before(engine: Engine) -> None:
    for seed in range(2):
        wander(engine, seed, 40)
    expected = counted(engine.db)
    engine.db.close()
    downgrade(engine.db.url, "0002")
    upgrade(engine.db.url)
    assert of_stages(engine.db) == expected
    assert (unfolded(engine.db), found_differences(engine.db)) == (0, [])
    wander(engine, 9, 20)
    assert of_stages(engine.db) == counted(engine.db)
