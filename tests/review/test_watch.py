"""The watch: detectors over real answers open flags, once, and leave honest people alone."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from crowd.accounts.models import Worker
from crowd.cli import main
from crowd.core import clock
from crowd.images.models import Image
from crowd.policy import Grade, Stage
from crowd.policy.codes import FlagCode
from crowd.review import detector_queries, watch
from crowd.review.detectors import Overlap
from crowd.runtime import Runtime
from crowd.tasks.answers import Given, answer
from crowd.tasks.models import Kind, Submission
from crowd.tiers import flags
from tests.tasks.engine import Engine, Lease, later, passing

COLOURS = ("white", "black", "blue", "red", "green")
Told = Callable[[Lease], dict[str, Any]]
Found = set[tuple[int, Stage, str]]


@pytest.fixture
def engine(rt: Runtime) -> Engine:
    made = Engine(rt, clock.now() - timedelta(days=2))
    made.is_alone = False
    return made


def drawn(lease: Lease) -> dict[str, Any]:
    ring = [[1, 1], [20 + lease.image_id % 60, 3 + lease.image_id], [50, 199]]
    return {"regions": [{"id": "r1", "part": "top", "rings": [ring]}]}


def copied(_: Lease) -> dict[str, Any]:
    return {"regions": [{"id": "r1", "part": "top", "rings": [[[5, 5], [90, 5], [50, 150]]]}]}


def coloured(lease: Lease) -> dict[str, Any]:
    return {"regions": {"r1": {"category": "blouses", "color": COLOURS[lease.image_id % 5]}}}


def all_white(_: Lease) -> dict[str, Any]:
    return {"regions": {"r1": {"category": "blouses", "color": "white"}}}


def work(engine: Engine, worker_id: int, stage: Stage, told: Told, times: int, *, seconds: float) -> None:
    for _ in range(times):
        lease = engine.claim(worker_id, stage)
        assert isinstance(lease, Lease)
        later(engine, seconds)
        with engine.db.begin() as conn:
            given = Given(lease.token, Kind.SUBMIT, told(lease))
            refused = answer(conn, worker_id, lease.task_id, given, engine.rulebook, engine.now)
        assert refused is None


def look(engine: Engine, *people: int) -> Found:
    if people:
        opened = watch.look_at(engine.db, engine.policy, people, engine.now)
    else:
        opened = watch.look(engine.db, engine.policy, engine.now)
    return {(each.worker_id, each.stage, each.finding.code.value) for each in opened}


def test_copied_outlines_and_haste_are_flagged_once_and_honest_people_are_not(engine: Engine) -> None:
    honest, bad = [engine.hire(Grade.GENERAL) for _ in range(2)], engine.hire(Grade.GENERAL)
    for _ in range(60):
        engine.add_image()
    for each in honest:
        work(engine, each, Stage.SEGMENTATION, drawn, 20, seconds=40)
    work(engine, bad, Stage.SEGMENTATION, copied, 20, seconds=2)
    assert look(engine) == {
        (bad, Stage.SEGMENTATION, "copied"),
        (bad, Stage.SEGMENTATION, "too_fast"),
    }
    assert look(engine) == set(), "nothing is new"
    assert look(engine, bad) == set(), "both are open already"
    with engine.db.read() as conn:
        found = {flag.code: flag.evidence for flag in flags.flags_of(conn, bad)}
    assert (found[FlagCode.COPIED]["times"], found[FlagCode.COPIED]["what"]) == (20, "outline")
    assert found[FlagCode.TOO_FAST]["median_seconds"] == 2.0


def test_one_colour_for_all_is_flagged_beside_others_who_look(engine: Engine) -> None:
    honest, bad = [engine.hire(Grade.GENERAL) for _ in range(5)], engine.hire(Grade.GENERAL)
    for _ in range(115):
        engine.add_image()
    with engine.db.begin() as conn:
        conn.execute(sa.update(Image).values(width=100, height=400))
    work(engine, honest[0], Stage.SEGMENTATION, drawn, 115, seconds=40)
    for each in honest:
        work(engine, each, Stage.ATTRIBUTES, coloured, 15, seconds=40)
    work(engine, bad, Stage.ATTRIBUTES, all_white, 40, seconds=40)
    assert look(engine) == {(bad, Stage.ATTRIBUTES, "blanket"), (bad, Stage.ATTRIBUTES, "copied")}
    with engine.db.read() as conn:
        evidence = {flag.code: flag.evidence for flag in flags.flags_of(conn, bad)}[FlagCode.BLANKET]
    assert (evidence["of"], evidence["favourite"], evidence["share"]) == ("color", "white", 1.0)


def test_what_an_admin_has_dismissed_is_not_held_against_the_person_again(engine: Engine) -> None:
    bad = engine.hire(Grade.GENERAL)
    for _ in range(45):
        engine.add_image()
    work(engine, bad, Stage.SEGMENTATION, copied, 20, seconds=40)
    assert look(engine, bad) == {(bad, Stage.SEGMENTATION, "copied")}
    with engine.db.begin() as conn:
        (flag,) = flags.flags_of(conn, bad)
        flags.dismiss(conn, flag.id, by=None, reason="a test picture", at=engine.now)
    work(engine, bad, Stage.SEGMENTATION, drawn, 5, seconds=40)
    assert look(engine, bad) == set()
    work(engine, bad, Stage.SEGMENTATION, copied, 20, seconds=40)
    assert look(engine, bad) == {(bad, Stage.SEGMENTATION, "copied")}


def test_somebody_suspended_is_not_looked_at(engine: Engine) -> None:
    bad = engine.hire(Grade.GENERAL)
    for _ in range(20):
        engine.add_image()
    work(engine, bad, Stage.SEGMENTATION, copied, 20, seconds=2)
    engine.suspend(bad)
    assert look(engine) == set()


def test_seats_made_for_comparing_tell_an_unreliable_reviewer(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for grade in (Grade.GENERAL, Grade.EXPERT, Grade.INSPECTOR, Grade.INSPECTOR):
        engine.hire(grade)
    reviewer = engine.hire(Grade.REVIEWER)
    engine.image_at(Stage.FIRST_REVIEW)
    lease = engine.claim(reviewer, Stage.FIRST_REVIEW)
    assert isinstance(lease, Lease)
    engine.answer(lease, passing(lease))
    seats = [Overlap(reviewer, image, 1 + image * 4 % 5, float(1 + image % 5)) for image in range(40)]
    assert look(engine, reviewer) == set()
    monkeypatch.setattr(watch, "OVERLAP_SOURCES", [lambda *of: seats if of[1] == reviewer else []])
    assert look(engine, reviewer) == {(reviewer, Stage.FIRST_REVIEW, "unreliable_reviewer")}


def test_who_was_careful_on_probation_is_held_against_what_the_flow_shows_now(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.policy = replace(engine.policy, flags=replace(engine.policy.flags, overlap_least=6))
    for grade in (Grade.GENERAL, Grade.EXPERT):
        engine.hire(grade)
    reviewer = engine.hire(Grade.REVIEWER)
    left, right = (engine.hire(Grade.INSPECTOR) for _ in range(2))
    perfect = [Overlap(reviewer, image, 1 + image % 5, float(1 + image % 5)) for image in range(100)]
    monkeypatch.setattr(watch, "OVERLAP_SOURCES", [lambda *of: perfect if of[1] == reviewer else []])
    for _ in range(6):
        engine.image_at(Stage.FIRST_REVIEW)
        sit(engine, reviewer, 5)
        for who in (left, right):
            sit(engine, who, 2)
    assert look(engine, reviewer) == {(reviewer, Stage.FIRST_REVIEW, "lenient_reviewer")}


def test_the_seats_of_a_second_review_are_held_against_each_other_or_the_adjudicator(engine: Engine) -> None:
    engine.hire(Grade.GENERAL)
    engine.hire(Grade.EXPERT)
    reviewer = engine.hire(Grade.REVIEWER)
    left, right, judge = (engine.hire(Grade.INSPECTOR) for _ in range(3))
    agreed, split = engine.image_at(Stage.SECOND_REVIEW), 0
    scores = {left: 5, right: 4}
    for who, score in scores.items():
        sit(engine, who, score)
    split = engine.image_at(Stage.SECOND_REVIEW)
    for who, score in ((left, 5), (right, 2), (judge, 4)):
        sit(engine, who, score)
    with engine.db.read() as conn:
        seen = {
            (who, each.image_id): (each.score, each.reference, each.selected)
            for who, stage in ((left, Stage.SECOND_REVIEW), (right, Stage.SECOND_REVIEW))
            for each in watch.overlaps_of(conn, who, stage, [agreed, split])
        }
        first = list(watch.overlaps_of(conn, reviewer, Stage.FIRST_REVIEW, [agreed, split]))
    assert seen == {
        (left, agreed): (5, 4.0, False),
        (left, split): (5, 4.0, False),
        (right, agreed): (4, 5.0, False),
        (right, split): (2, 4.0, False),
    }
    assert [(each.reference, each.selected) for each in first] == [(4.5, True), (4.0, True)]


def sit(engine: Engine, who: int, score: int) -> None:
    lease = engine.claim(who)
    assert isinstance(lease, Lease)
    verdict = {"score": score, "blame": None, "reasons": [] if score >= 4 else ["missing"]}
    assert engine.answer(lease, verdict) is None


def test_the_watch_looks_as_often_as_policy_says_and_one_process_at_a_time(engine: Engine) -> None:
    assert watch.look_if_due(engine.db, engine.policy, engine.now) == []
    assert watch.look_if_due(engine.db, engine.policy, engine.now) is None
    later(engine, engine.policy.flags.every_seconds + 1)
    with engine.db.begin() as conn:
        assert detector_queries.take_turn(conn, engine.now, engine.now + watch.TURN)
        assert not detector_queries.take_turn(conn, engine.now, engine.now + watch.TURN)
    assert watch.look_if_due(engine.db, engine.policy, engine.now) is None


def test_a_grid_claimed_at_once_is_shared_out_over_its_images(engine: Engine) -> None:
    class Row:
        def __init__(self, claimed: float, at: float, seconds: float | None = None) -> None:
            start = engine.now
            self.claimed_at, self.at = start + timedelta(seconds=claimed), start + timedelta(seconds=at)
            self.seconds = seconds

    grid: Any = [Row(0, 60, 0.1), Row(0, 60, 0.1), Row(0, 60, 0.1)]
    assert watch.spent(grid) == [20.0] * 3
    alone: Any = [Row(0, 60), Row(60, 70, 4.0), Row(71, 80, 99.0)]
    assert watch.spent(alone) == [60.0, 4.0, 9.0]


def test_the_watch_reads_a_fixed_number_of_the_newest_answers(engine: Engine) -> None:
    people = [engine.hire(Grade.GENERAL) for _ in range(2)]
    for _ in range(12):
        engine.add_image()
    for each in people:
        work(engine, each, Stage.SEGMENTATION, drawn, 6, seconds=40)
    with engine.db.read() as conn:
        ids = conn.execute(sa.select(Submission.id).order_by(Submission.id)).scalars().all()
        newest = detector_queries.newest_answers(conn, 4)
        own = detector_queries.newest_answers_of(conn, people[0], 4)
        assert [row.id for row in newest] == ids[-4:]
        assert [row.id for row in own] == ids[2:6]
        assert newest[0].result is None, "outlines are not read for everybody"
        assert newest[0].claimed_at is not None


def test_the_detectors_run_by_hand(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = engine.hire(Grade.GENERAL)
    for _ in range(20):
        engine.add_image()
    work(engine, bad, Stage.SEGMENTATION, copied, 20, seconds=40)
    monkeypatch.setenv("DATABASE_URL", engine.db.url)
    monkeypatch.setenv("CROWD_DATA_DIR", str(engine.rt.settings.data_dir))
    run = CliRunner().invoke(main, ["quality", "detect"])
    assert run.exit_code == 0, run.output
    assert "1 flags were opened" in run.output
    assert f"worker {bad}, segmentation, copied: what outline, n 20, times 20" in run.output
    with engine.db.read() as conn:
        name = conn.execute(sa.select(Worker.username).where(Worker.id == bad)).scalar_one()
    again = CliRunner().invoke(main, ["quality", "detect", "--worker", name])
    assert again.output == "0 flags were opened\n"
    nobody = CliRunner().invoke(main, ["quality", "detect", "--worker", "nobody"])
    assert nobody.exit_code == 2
