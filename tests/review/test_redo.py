"""A redo opens again what a person answered and nobody has answered since, and loses nothing meanwhile."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.core import clock
from crowd.core.db import Database
from crowd.core.errors import Problem
from crowd.datasets.service import create_release
from crowd.images.models import Image, ImageEvent, ImageState, What
from crowd.policy import Grade, Stage
from crowd.review import redo, redo_queries
from crowd.review.redo import Wanted
from crowd.review.redo_models import RedoImage
from crowd.review.redo_rules import Fate
from crowd.runtime import Runtime
from crowd.tasks.leases import QueueState
from crowd.tasks.models import Label, Submission, Task, TaskState
from tests.kinds import Bearer, Client, MakeWorker
from tests.tasks.engine import Engine, Lease, passing, rejecting

LONG_AGO = timedelta(days=30)


@pytest.fixture
def engine(rt: Runtime) -> Engine:
    made = Engine(rt)
    made.hire(Grade.GENERAL)
    for grade in (Grade.EXPERT, Grade.REVIEWER, Grade.INSPECTOR):
        made.hire(grade)
        made.hire(grade)
    made.hire(Grade.INSPECTOR)
    return made


def wanted(worker_id: int, *stages: Stage) -> Wanted:
    return Wanted(worker_id, clock.now() - LONG_AGO, stages or tuple(Stage), "labels made up")


def ordered(engine: Engine, worker_id: int, *stages: Stage) -> int:
    with engine.db.begin() as conn:
        return redo.order(conn, wanted(worker_id, *stages), by=None, now=clock.now())


def done_again(engine: Engine, worker_id: int, *stages: Stage) -> dict[str, Any]:
    redo_id = ordered(engine, worker_id, *stages)
    redo.run_redos(engine.db)
    with engine.db.read() as conn:
        return redo.find_redo(conn, redo_id)


def finish(engine: Engine) -> None:
    while engine.pass_one():
        pass


def author(engine: Engine, image_id: int, stage: Stage) -> int:
    who = sa.select(Submission.worker_id).where(Submission.image_id == image_id, Submission.stage == stage)
    with engine.db.read() as conn:
        found: int = conn.execute(who.order_by(Submission.id.desc()).limit(1)).scalar_one()
    return found


def open_stages(engine: Engine, image_id: int) -> list[Stage]:
    return [task.stage for task in engine.open_tasks(image_id)]


@pytest.mark.parametrize("stage", [each for each in Stage if each is not Stage.ADJUDICATION])
def test_an_accepted_image_opens_at_the_stage_of_the_bad_answer_and_can_be_finished(
    engine: Engine, stage: Stage
) -> None:
    image_id = engine.add_image()
    finish(engine)
    assert engine.image_state(image_id) is ImageState.ACCEPTED
    bad = author(engine, image_id, stage)
    engine.suspend(bad)
    found = done_again(engine, bad, stage)
    assert found["reopened"] == {stage.value: 1}
    assert engine.image_state(image_id) is ImageState.IN_WORK
    seats = 2 if stage is Stage.SECOND_REVIEW else 1
    assert open_stages(engine, image_id) == [stage] * seats
    with engine.db.read() as conn:
        event = conn.execute(
            sa.select(*ImageEvent.__table__.columns).where(ImageEvent.what == What.REOPENED)
        ).one()
    assert (event.target, event.about_id) == (stage, bad)
    assert event.why == {"reason": "labels made up", "redo": found["id"]}
    engine.hire(Grade.GENERAL)
    engine.hire(Grade.REVIEWER)
    finish(engine)
    assert engine.image_state(image_id) is ImageState.ACCEPTED


def test_the_person_does_not_get_their_own_work_back_even_when_they_work_on(engine: Engine) -> None:
    image_id = engine.add_image()
    assert engine.pass_one()
    bad = author(engine, image_id, Stage.SEGMENTATION)
    engine.suspend(bad)
    assert done_again(engine, bad)["reopened"] == {"segmentation": 1}
    engine.reinstate(bad)
    assert isinstance(engine.claim(bad), QueueState)
    assert isinstance(engine.claim(engine.hire(Grade.GENERAL)), Lease)


def test_what_others_have_answered_since_is_left_alone(engine: Engine) -> None:
    bad, good = engine.crew[Grade.GENERAL][0], engine.hire(Grade.GENERAL)
    image_id = engine.add_image()
    lease = engine.claim(bad)
    assert isinstance(lease, Lease)
    engine.answer(lease, passing(lease))
    engine.suspend(bad)
    admin = engine.hire(Grade.ADMIN)
    engine.decide(admin, image_id, ImageState.IN_WORK, Stage.SEGMENTATION)
    waiting = done_again(engine, bad)
    assert (waiting["reopened"], waiting["left_alone"]) == ({}, {"waiting": 1})
    lease = engine.claim(good, Stage.SEGMENTATION)
    assert isinstance(lease, Lease)
    engine.answer(lease, passing(lease))
    redone = done_again(engine, bad)
    assert (redone["reopened"], redone["left_alone"]) == ({}, {"redone": 1})
    assert open_stages(engine, image_id) == [Stage.ATTRIBUTES]


def test_several_answers_of_one_person_open_the_earliest_stage_once(engine: Engine) -> None:
    image_id = engine.add_image()
    assert engine.pass_one()
    assert engine.pass_one()
    (bad,) = engine.crew[Grade.GENERAL]
    engine.suspend(bad)
    found = done_again(engine, bad)
    assert (found["reopened"], found["answers"], found["looked_at"]) == ({"segmentation": 1}, 2, 2)
    assert open_stages(engine, image_id) == [Stage.SEGMENTATION]


def test_a_seat_beside_one_still_open_is_opened_anew_for_both(engine: Engine) -> None:
    image_id = engine.image_at(Stage.SECOND_REVIEW)
    bad, other, _ = engine.crew[Grade.INSPECTOR]
    sat, holds = engine.claim(bad), engine.claim(other)
    assert isinstance(sat, Lease)
    assert isinstance(holds, Lease)
    engine.answer(sat, passing(sat))
    engine.suspend(bad)
    assert done_again(engine, bad)["reopened"] == {"second_review": 1}
    assert open_stages(engine, image_id) == [Stage.SECOND_REVIEW] * 2
    assert engine.answer(holds, passing(holds)) == "superseded"


def test_a_verdict_that_a_third_person_has_settled_is_left_alone(engine: Engine) -> None:
    image_id = engine.image_at(Stage.SECOND_REVIEW)
    bad, other, judge = engine.crew[Grade.INSPECTOR]
    for who, result in ((bad, rejecting(Stage.STYLES)), (other, {"score": 5})):
        lease = engine.claim(who)
        assert isinstance(lease, Lease)
        engine.answer(lease, result)
    engine.suspend(bad)
    assert open_stages(engine, image_id) == [Stage.ADJUDICATION]
    lease = engine.claim(judge)
    assert isinstance(lease, Lease)
    engine.answer(lease, {"score": 5})
    assert engine.image_state(image_id) is ImageState.ACCEPTED
    assert done_again(engine, bad)["left_alone"] == {"redone": 1}
    engine.suspend(judge)
    # The adjudicator's own verdict is the one that stands: both seats are opened again.
    assert done_again(engine, judge)["reopened"] == {"second_review": 1}


def test_an_image_refused_on_a_bad_persons_word_is_drawn_again(engine: Engine) -> None:
    bad, second = engine.crew[Grade.GENERAL][0], engine.hire(Grade.GENERAL)
    image_id = engine.add_image()
    for who in (bad, second):
        lease = engine.claim(who)
        assert isinstance(lease, Lease)
        engine.answer(lease, {"unusable": "watermark"})
    assert engine.image_state(image_id) is ImageState.REFUSED
    engine.suspend(bad)
    assert done_again(engine, bad)["reopened"] == {"segmentation": 1}
    assert engine.image_state(image_id) is ImageState.IN_WORK


def test_the_preview_tells_what_the_redo_then_does_and_changes_nothing(engine: Engine) -> None:
    accepted = engine.add_image()
    finish(engine)
    in_work = engine.add_image()
    assert engine.pass_one()
    (bad,) = engine.crew[Grade.GENERAL]
    engine.suspend(bad)
    with engine.db.read() as conn:
        told = redo.preview(conn, wanted(bad), by=None)
    assert told == {
        "answers": 3,
        "images": 2,
        "stages": {"segmentation": {"accepted": 1, "in_work": 1, "in_releases": 0}},
        "left_alone": {},
    }
    assert engine.image_state(accepted) is ImageState.ACCEPTED
    assert open_stages(engine, in_work) == [Stage.ATTRIBUTES]
    assert done_again(engine, bad)["reopened"] == {"segmentation": 2}


def test_the_preview_tells_which_images_are_in_releases_already(engine: Engine) -> None:
    engine.add_image()
    finish(engine)
    create_release(engine.db, "first", taxonomy_id=engine.taxonomy_id, by=None, now=clock.now())
    create_release(engine.db, "second", taxonomy_id=engine.taxonomy_id, by=None, now=clock.now())
    engine.add_image()
    finish(engine)
    (bad,) = engine.crew[Grade.GENERAL]
    engine.suspend(bad)
    with engine.db.read() as conn:
        told = redo.preview(conn, wanted(bad), by=None)
    assert told["stages"] == {"segmentation": {"accepted": 2, "in_releases": 1}}


def test_only_answers_since_the_moment_and_at_the_stages_named_are_done_again(engine: Engine) -> None:
    engine.add_image()
    assert engine.pass_one()
    assert engine.pass_one()
    (bad,) = engine.crew[Grade.GENERAL]
    engine.suspend(bad)
    assert done_again(engine, bad, Stage.ATTRIBUTES)["reopened"] == {"attributes": 1}
    with engine.db.read() as conn:
        late = Wanted(bad, clock.now(), tuple(Stage), "too late")
        assert redo.preview(conn, late, by=None)["answers"] == 0


def test_a_redo_needs_a_confirmed_flag_or_a_suspension(engine: Engine) -> None:
    (bad,) = engine.crew[Grade.GENERAL]
    with pytest.raises(Problem) as refused:
        ordered(engine, bad)
    assert refused.value.code == "not_confirmed"
    engine.suspend(bad)
    ordered(engine, bad)
    with pytest.raises(Problem) as refused:
        ordered(engine, bad)
    assert refused.value.code == "redo_running"


def test_a_redo_killed_in_the_middle_goes_on_and_opens_nothing_twice(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [engine.add_image() for _ in range(5)]
    (bad,) = engine.crew[Grade.GENERAL]
    for _ in images:
        lease = engine.claim(bad, Stage.SEGMENTATION)
        assert isinstance(lease, Lease)
        engine.answer(lease, passing(lease))
    engine.suspend(bad)
    redo_id = ordered(engine, bad)
    noted = redo_queries.note
    done = 0

    def die_at_the_third(*of: Any) -> None:
        nonlocal done
        done += 1
        if done == 3:
            raise KeyboardInterrupt
        noted(*of)

    monkeypatch.setattr(redo_queries, "note", die_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        redo.run_redos(engine.db)
    monkeypatch.undo()
    assert redo.run_redos(engine.db) == 0, "it is left to the other job worker for a while"
    monkeypatch.setattr(clock, "now", lambda now=clock.now: now() + redo.HOLD)
    assert redo.run_redos(engine.db) == 3
    with engine.db.read() as conn:
        found = redo.find_redo(conn, redo_id)
        events = conn.execute(
            sa.select(ImageEvent.image_id, sa.func.count())
            .where(ImageEvent.what == What.REOPENED)
            .group_by(ImageEvent.image_id)
        ).all()
    assert (found["state"], found["reopened"]) == ("done", {"segmentation": 5})
    assert sorted(tuple(row) for row in events) == [(image_id, 1) for image_id in images]


def test_a_redo_beside_people_at_work_loses_nothing(engine: Engine) -> None:
    """Claims and answers of the same images at the same moment, over connections of their own."""
    engine.hire(Grade.GENERAL)
    bad = engine.hire(Grade.GENERAL)
    images = [engine.add_image() for _ in range(12)]
    for _ in images:
        lease = engine.claim(bad, Stage.SEGMENTATION)
        assert isinstance(lease, Lease)
        engine.answer(lease, passing(lease))
    engine.suspend(bad)
    ordered(engine, bad)
    begin = threading.Barrier(3)

    def work(worker_id: int) -> Counter[str]:
        mine, seen = engine.again(), Counter[str]()
        begin.wait()
        for _ in range(40):
            lease = mine.claim(worker_id)
            if isinstance(lease, QueueState):
                seen["nothing"] += 1
            else:
                seen[mine.answer(lease, passing(lease)) or "taken"] += 1
        mine.db.close()
        return seen

    def run() -> int:
        mine = Database(engine.db.url)
        begin.wait()
        opened = redo.run_redos(mine)
        mine.close()
        return opened

    with ThreadPoolExecutor(3) as pool:
        redoing = pool.submit(run)
        people = [pool.submit(work, each) for each in engine.crew[Grade.GENERAL][:2]]
        seen = sum((each.result() for each in people), Counter[str]())
        opened = redoing.result()
    assert opened == len(images), "nobody can have drawn them meanwhile"
    assert set(seen) <= {"taken", "superseded", "nothing"}
    with engine.db.read() as conn:
        fates = conn.execute(sa.select(RedoImage.fate)).scalars().all()
        assert Counter(fates) == {Fate.REOPENED: len(images)}
        answers = conn.execute(sa.select(Submission.standing, sa.func.count()).group_by(Submission.standing))
        assert sum(row[1] for row in answers) == seen["taken"] + seen["superseded"] + len(images)
    for image_id in images:
        with engine.db.read() as conn:
            states = conn.execute(sa.select(Image.state, Image.round).where(Image.id == image_id)).one()
            opens = conn.execute(
                sa.select(Task.stage, Task.round).where(
                    Task.image_id == image_id, Task.state.in_((TaskState.READY, TaskState.LEASED))
                )
            ).all()
            labels = (
                conn.execute(
                    sa.select(Label.worker_id)
                    .where(Label.image_id == image_id, Label.stage == Stage.SEGMENTATION)
                    .order_by(Label.id.desc())
                )
                .scalars()
                .all()
            )
        assert states == (ImageState.IN_WORK, 2)
        assert len(opens) == 1, "one task is open, in the round of the redo"
        assert opens[0].round == 2
        is_drawn_again = opens[0].stage is not Stage.SEGMENTATION
        assert (labels[0] != bad) is is_drawn_again


def test_admins_order_a_redo_over_the_api_and_see_how_far_it_is(
    engine: Engine, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    boss = bearer(make_worker(Grade.ADMIN)[1])
    engine.add_image()
    assert engine.pass_one()
    (bad,) = engine.crew[Grade.GENERAL]
    address = f"/api/v1/workers/{bad}/redo"
    body = {"since": "2020-01-01T00:00:00Z", "reason": "made up"}
    refused = client.post(address, json=body, headers=boss)
    assert (refused.status_code, refused.json["code"]) == (409, "not_confirmed")
    engine.suspend(bad)
    told = client.post(address, json=body, headers=boss)
    assert (told.status_code, told.json["job"], told.json["preview"]["images"]) == (200, None, 1)
    made = client.post(address, json={**body, "preview": False}, headers=boss)
    assert (made.status_code, made.json["preview"]) == (202, None)
    url = made.json["job"]["url"]
    pending = client.get(url, headers=boss).json
    assert (pending["state"], pending["answers"], pending["looked_at"]) == ("pending", 1, 0)
    redo.run_redos(engine.db)
    done = client.get(url, headers=boss).json
    assert (done["state"], done["looked_at"], done["reopened"]) == ("done", 1, {"segmentation": 1})
    (listed,) = client.get(f"/api/v1/redos?worker={bad}", headers=boss).json["items"]
    assert listed["id"] == done["id"]


BAD_ORDERS: tuple[tuple[Any, str], ...] = (
    ({"reason": "x"}, "since"),
    ({"since": "2999-01-01T00:00:00Z", "reason": "x"}, "since"),
    ({"since": "yesterday", "reason": "x"}, "since"),
    ({"since": "0001-01-01T00:00:00+14:00", "reason": "x"}, "since"),
    ({"since": "2020-01-01T00:00:00Z"}, "reason"),
    ({"since": "2020-01-01T00:00:00Z", "reason": "x", "stages": ["polish"]}, "stages.0"),
    ({"since": "2020-01-01T00:00:00Z", "reason": "x", "stages": []}, "stages"),
    ({"since": "2020-01-01T00:00:00Z", "reason": "x", "preview": "no"}, "preview"),
)


def test_a_bad_order_is_refused_by_field(
    engine: Engine, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    boss = bearer(make_worker(Grade.ADMIN)[1])
    address = f"/api/v1/workers/{engine.crew[Grade.GENERAL][0]}/redo"
    for body, field in BAD_ORDERS:
        answer = client.post(address, json=body, headers=boss)
        assert (answer.status_code, list(answer.json["errors"])) == (422, [field]), body


def test_only_admins_order_and_see_redos(
    engine: Engine, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    worker = bearer(make_worker(Grade.INSPECTOR)[1])
    for method, path in (("POST", "/workers/1/redo"), ("GET", "/redos"), ("GET", "/redos/1")):
        assert client.open(f"/api/v1{path}", method=method, json={}, headers=worker).status_code == 403
        assert client.open(f"/api/v1{path}", method=method, json={}).status_code == 401


def test_what_a_redo_did_cannot_be_changed(engine: Engine) -> None:
    engine.add_image()
    assert engine.pass_one()
    (bad,) = engine.crew[Grade.GENERAL]
    engine.suspend(bad)
    done_again(engine, bad)
    for change in (sa.delete(RedoImage), sa.update(RedoImage).values(fate=Fate.HELD)):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.db.begin() as conn:
            conn.execute(change)
