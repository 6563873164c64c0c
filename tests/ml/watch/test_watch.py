"""The watch at work: doubted labels to an admin and back to the crowd, drift, alerts, reports."""

import itertools
import json
import math
import random
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.core import clock
from crowd.core.errors import Conflict, NotFound, Unprocessable
from crowd.images.models import Image, ImageState, Rights, Supplier
from crowd.ml import service as registry
from crowd.ml.pending import Wanted
from crowd.ml.watch import arrivals, doubts, service
from crowd.ml.watch.diagnosis import Fault
from crowd.ml.watch.models import DoubtSum
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks import seat_queries
from crowd.tasks.models import Kind, Label, Task, TaskState
from tests.kinds import Bearer, Client, MakeWorker
from tests.ml.shelf import add_card, environment, hear_at_once, make, promote, styles_card, with_policy
from tests.tasks.engine import Engine, Lease, later, passing, rejecting

COUNT = 120
SURE, OTHER = "resort", "retro"
# Every tenth label is wrong, and all of one shop's.
WRONG_EVERY = 10


def wait_for_styles(rt: Runtime) -> None:
    """So many tasks of styles, opened in one transaction; nobody looks at the images."""
    long_ago = clock.now() - timedelta(hours=1)
    shared = {"rights": Rights.OWNED, "state": ImageState.IN_WORK, "width": 100, "height": 200}
    with rt.db.begin() as conn:
        supplier = {"name": "a shop", "created_at": long_ago}
        shop = conn.execute(sa.insert(Supplier).values(supplier).returning(Supplier.id)).scalar_one()
        for number in range(COUNT):
            own = {"supplier_id": shop, "file_name": "photo.jpg", "sha256": number.to_bytes(32)}
            values = {**shared, **own, "created_at": long_ago}
            image = conn.execute(
                sa.insert(Image).values(values).returning(Image.id, Image.priority, Image.round)
            )
            seat_queries.open_task(conn, image.one(), Stage.STYLES, 1, long_ago)


def says_the_truth(wanted: Wanted) -> Any:
    true = SURE if wanted.image_id % 2 else OTHER
    false = OTHER if true == SURE else SURE
    return {"styles": [{"value": true, "score": 0.9}, {"value": false, "score": 0.05}]}


@pytest.fixture
def engine(rt: Runtime, tmp_path: Path) -> Engine:
    """So many labelled images of two shops; a model was right about each before it was labelled."""
    system = with_policy(rt, withheld_percent=0)
    wait_for_styles(system)
    hear_at_once(system)
    engine = Engine(system)
    with engine.db.begin() as conn:
        other = conn.execute(
            sa.insert(Supplier).values(name="another shop", created_at=engine.now).returning(Supplier.id)
        ).scalar_one()
        conn.execute(sa.update(Image).where(Image.id > COUNT // 2).values(supplier_id=other))
    model_id = add_card(system, tmp_path, styles_card())
    promote(system, model_id)
    make(engine, model_id, Stage.STYLES, says_the_truth)
    author = engine.hire(Grade.EXPERT)
    engine.hire(Grade.ADMIN)
    with engine.db.begin() as conn:
        for image_id in conn.execute(sa.select(Image.id).order_by(Image.id)).scalars().all():
            true, false = (SURE, OTHER) if image_id % 2 else (OTHER, SURE)
            given = false if image_id % WRONG_EVERY == 0 else true
            kept: dict[str, object] = {"image_id": image_id, "round": 1, "at": engine.now}
            kept["worker_id"] = author
            kept["taxonomy_id"] = engine.taxonomy_id
            for stage, value in (
                (Stage.SEGMENTATION, {"regions": []}),
                (Stage.ATTRIBUTES, {"regions": {}}),
                (Stage.STYLES, {"styles": [given], "unsure": False}),
            ):
                conn.execute(sa.insert(Label).values(stage=stage, value=value, **kept))
    later(engine, 600)
    return engine


def admin(engine: Engine) -> int:
    return engine.crew[Grade.ADMIN][0]


def open_doubts(engine: Engine) -> list[Any]:
    with engine.db.read() as conn:
        return list(doubts.doubted(conn, None, None, 0.0, None, 1000))


def settle(engine: Engine, doubt_id: int, *, sent_back: bool) -> None:
    with engine.db.begin() as conn:
        doubts.settle(
            conn, admin(engine), doubt_id, sent_back=sent_back, why="", policy=engine.policy, now=engine.now
        )


def test_exactly_the_wrong_labels_are_doubted_and_looked_at_once(engine: Engine) -> None:
    found = service.look(engine.rt, engine.now).doubted
    listed = open_doubts(engine)
    assert found == len(listed)
    assert {row.image_id for row in listed} == set(range(WRONG_EVERY, COUNT + 1, WRONG_EVERY))
    assert {(row.given, row.proposed) for row in listed} == {(SURE, OTHER)}
    assert service.look(engine.rt, engine.now).doubted == 0


def test_labels_of_the_last_moments_wait(engine: Engine) -> None:
    engine.now -= timedelta(seconds=590)
    assert service.look(engine.rt, engine.now).doubted == 0
    later(engine, 590)
    assert service.look(engine.rt, engine.now).doubted > 0


def test_a_doubted_label_goes_back_to_the_crowd_once(engine: Engine) -> None:
    service.look(engine.rt, engine.now)
    first, second = open_doubts(engine)[:2]
    settle(engine, first.id, sent_back=True)
    with engine.db.read() as conn:
        opened = conn.execute(
            sa.select(Task.stage).where(Task.image_id == first.image_id, Task.state == TaskState.READY)
        ).scalars()
        assert list(opened) == [Stage.STYLES]
    assert engine.image_state(first.image_id) is ImageState.IN_WORK
    settle(engine, second.id, sent_back=False)
    assert {first.id, second.id}.isdisjoint(row.id for row in open_doubts(engine))
    for doubt_id in (first.id, second.id):
        with pytest.raises(Conflict, match="decided"):
            settle(engine, doubt_id, sent_back=True)
    with pytest.raises(NotFound):
        settle(engine, 10**6, sent_back=False)


@pytest.fixture
def fresh(rt: Runtime, tmp_path: Path) -> tuple[Engine, int]:
    """A crew with one image that waits for styles, and the model that serves there."""
    engine = Engine(with_policy(rt, withheld_percent=0))
    hear_at_once(engine.rt)
    for grade in (Grade.GENERAL, Grade.EXPERT, Grade.REVIEWER):
        engine.hire(grade)
    model_id = add_card(engine.rt, tmp_path, styles_card())
    promote(engine.rt, model_id)
    engine.image_at(Stage.STYLES)
    return engine, model_id


def do(engine: Engine, grade: Grade, stage: Stage, result: Any = None, kind: Kind = Kind.SUBMIT) -> None:
    """Somebody of the grade does the stage, well if not told otherwise."""
    lease = engine.claim(engine.crew[grade][0], stage)
    assert isinstance(lease, Lease)
    assert engine.answer(lease, result or passing(lease), kind) is None


def looked_at(engine: Engine, model_id: int) -> int:
    """How many answers of the shop were held against what the model says."""
    later(engine, 600)
    service.look(engine.rt, engine.now)
    with engine.db.read() as conn:
        shares = service.doubt_shares(conn, model_id)
    return sum(row["looked"] for row in shares if row["kind"] == "supplier")


def test_a_label_is_held_against_the_candidates_of_its_own_round(fresh: tuple[Engine, int]) -> None:
    engine, model_id = fresh
    make(engine, model_id, Stage.STYLES, says_the_truth)
    do(engine, Grade.EXPERT, Stage.STYLES, {"reasons": ["missing"]}, Kind.SEND_BACK)
    do(engine, Grade.GENERAL, Stage.ATTRIBUTES)
    assert len(make(engine, model_id, Stage.STYLES, says_the_truth)) == 1, "both rounds have candidates"
    do(engine, Grade.EXPERT, Stage.STYLES)
    assert looked_at(engine, model_id) == 1


def test_rework_is_not_held_against_what_was_said_before_it(fresh: tuple[Engine, int]) -> None:
    engine, model_id = fresh
    make(engine, model_id, Stage.STYLES, says_the_truth)
    do(engine, Grade.EXPERT, Stage.STYLES)
    assert looked_at(engine, model_id) == 1
    do(engine, Grade.REVIEWER, Stage.FIRST_REVIEW, rejecting(Stage.STYLES))
    do(engine, Grade.EXPERT, Stage.STYLES)
    assert looked_at(engine, model_id) == 1


def test_a_label_that_was_replaced_is_doubted_no_more(engine: Engine) -> None:
    service.look(engine.rt, engine.now)
    row = open_doubts(engine)[0]
    with engine.db.begin() as conn:
        old = conn.execute(sa.select(*Label.__table__.columns).where(Label.id == row.label_id)).one()
        newer = {name: value for name, value in old._mapping.items() if name != "id"}
        conn.execute(sa.insert(Label).values(newer))
    assert row.id not in {each.id for each in open_doubts(engine)}
    with pytest.raises(Conflict, match="replaced"):
        settle(engine, row.id, sent_back=False)


def test_the_shop_whose_labels_are_doubted_most_is_named(engine: Engine) -> None:
    with engine.db.begin() as conn:
        shop = conn.execute(sa.select(Supplier.id).where(Supplier.name == "another shop")).scalar_one()
        wrong = {"styles": [OTHER], "unsure": False}
        for image_id in (
            conn.execute(sa.select(Image.id).where(Image.supplier_id == shop, Image.id % 2 == 1))
            .scalars()
            .all()
        ):
            kept: dict[str, object] = {"image_id": image_id, "round": 1, "worker_id": None, "at": engine.now}
            kept |= {"taxonomy_id": engine.taxonomy_id, "stage": Stage.STYLES, "value": wrong}
            conn.execute(sa.insert(Label).values(kept))
    later(engine, 600)
    service.look(engine.rt, engine.now)
    with engine.db.read() as conn:
        raised = service.alerts(conn, Stage.STYLES, Fault.QUALITY, None, 100)
    assert ("supplier", "another shop") in {(row.kind, row.subject) for row in raised}
    assert ("supplier", "a shop") not in {(row.kind, row.subject) for row in raised}
    again = service.look(engine.rt, engine.now)
    assert (again.doubted, again.raised) == (0, 0), "the same alert is not raised twice"


def test_a_delivery_that_looks_different_is_an_alert(rt: Runtime, tmp_path: Path) -> None:
    wait_for_styles(rt)
    engine = Engine(rt)
    model_id = add_card(rt, tmp_path, styles_card())
    promote(rt, model_id)
    with engine.db.begin() as conn:
        strange = conn.execute(
            sa.insert(Supplier).values(name="strange", created_at=engine.now).returning(Supplier.id)
        ).scalar_one()
        conn.execute(sa.update(Image).where(Image.id > COUNT - 40).values(supplier_id=strange))
    dice = random.Random(1)

    def said(wanted: Wanted) -> Any:
        usual = wanted.image_id <= COUNT - 40
        style = dice.choices([SURE, OTHER], [9, 1] if usual else [1, 9])[0]
        return {"styles": [{"value": style, "score": 0.9}]}

    make(engine, model_id, Stage.STYLES, said)
    with engine.db.begin() as conn:
        found = {key.supplier: each for key, each in arrivals.deliveries(conn, model_id).items()}
        assert found["strange"].is_shift
        assert found["strange"].images == 40
        assert service.raise_alerts(conn, model_id, Stage.STYLES, engine.now) >= 1
        (alert, *_) = service.alerts(conn, None, Fault.DRIFT, None, 10)
        assert alert.subject.endswith(" strange")
        assert alert.figures["index"] >= 0.25
        a_year_later = engine.now + timedelta(days=365)
        assert service.raise_alerts(conn, model_id, Stage.STYLES, a_year_later) == 0, (
            "a delivery is told of once"
        )


def test_the_nightly_look_is_done_once_a_day_and_goes_on_where_a_portion_ended(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubts, "PAGE", COUNT)
    # A second passes with every look at the watch: two pages of three fit.
    monkeypatch.setattr(service, "time", SimpleNamespace(monotonic=itertools.count().__next__))
    monkeypatch.setattr(service, "PORTION_SECONDS", 3)
    portions = [service.look_if_due(engine.rt, engine.now) for _ in range(2)]
    assert [each and each.ended for each in portions] == [False, True]
    found = [each.doubted if each else 0 for each in portions]
    assert sum(found) == COUNT // WRONG_EVERY
    assert min(found) > 0
    assert service.look_if_due(engine.rt, engine.now) is None
    later(engine, 23 * 3600)
    assert service.look_if_due(engine.rt, engine.now) is None
    later(engine, 3601)
    again = service.look_if_due(engine.rt, engine.now)
    assert again is not None
    assert (again.doubted, again.raised) == (0, 0)


def test_of_many_that_ask_at_night_one_looks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[Any] = []

    def slow(rt: Runtime, now: datetime, seconds: float) -> service.Looked:
        inside.append(service.look_if_due(rt, now))
        return service.Looked(0, 0, 0, ended=True)

    monkeypatch.setattr(service, "look", slow)
    assert service.look_if_due(engine.rt, engine.now) is not None
    assert inside == [None]


def test_a_job_worker_looks_by_itself_and_neither_it_nor_the_web_needs_torch(engine: Engine) -> None:
    code = (
        "import sys\n"
        "class Gone:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'safetensors'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Gone())\n"
        "from datetime import timedelta\n"
        "from crowd import jobs\n"
        "from crowd.core import clock\n"
        "now = clock.now\n"
        "clock.now = lambda: now() + timedelta(hours=1)\n"
        "jobs.upkeep()\n"
        "assert 'torch' not in sys.modules\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment(engine.rt), capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert open_doubts(engine)


def report(*tests: float, by: tuple[float, ...] = ()) -> dict[str, Any]:
    points = [
        {
            "images": 100 * (place + 1),
            "train": {"error": 0.3, "top3": 0.9, "by": {SURE: 0.3}},
            "validation": {"error": 0.3, "top3": 0.9, "by": {SURE: 0.3}},
            "test": {"error": error, "top3": 0.9, "by": {SURE: by[place] if by else None}},
        }
        for place, error in enumerate(tests)
    ]
    return {"task": "styles", "model": "baseline", "points": points}


def test_a_kept_report_is_diagnosed_and_blames_a_style(engine: Engine) -> None:
    with engine.db.begin() as conn:
        model = registry.find_titled(conn, "small@1")
        service.keep_report(conn, model, report(0.4, 0.4, by=(0.4, 0.45)), engine.now)
        service.raise_alerts(conn, model.id, Stage.STYLES, engine.now)
        (alert,) = service.alerts(conn, None, Fault.QUALITY, None, 10)
    assert (alert.kind, alert.subject) == ("question", SURE)


def test_a_report_is_diagnosed_once_and_the_next_one_again(engine: Engine) -> None:
    with engine.db.begin() as conn:
        model = registry.find_titled(conn, "small@1")

        def raised_after(days: int) -> int:
            return service.raise_alerts(conn, model.id, Stage.STYLES, engine.now + timedelta(days=days))

        service.keep_report(conn, model, report(0.4, 0.4), engine.now)
        assert [raised_after(days) for days in (0, 8, 30)] == [1, 0, 0]
        service.keep_report(conn, model, report(0.4, 0.4), engine.now + timedelta(days=40))
        assert [raised_after(days) for days in (40, 60)] == [1, 0]


def test_a_group_is_named_again_only_for_labels_that_came_since(engine: Engine) -> None:
    with engine.db.begin() as conn:
        model = registry.find_titled(conn, "small@1")

        def grow(supplier: str, looked: int, doubted: int) -> None:
            conn.execute(
                sa.update(DoubtSum)
                .where(DoubtSum.model_id == model.id, DoubtSum.subject == supplier)
                .values(looked=DoubtSum.looked + looked, doubted=DoubtSum.doubted + doubted)
            )

        def named(days: int) -> int:
            return service.raise_alerts(conn, model.id, Stage.STYLES, engine.now + timedelta(days=days))

        for supplier in ("bad", "good"):
            values = {"model_id": model.id, "kind": "supplier", "subject": supplier}
            conn.execute(sa.insert(DoubtSum).values(looked=0, doubted=0, **values))
        grow("good", 1000, 20)
        grow("bad", 500, 100)
        assert named(0) == 1
        assert named(30) == 0, "nothing has come since"
        grow("good", 1000, 20)
        grow("bad", 500, 10)
        assert named(60) == 0, "it got better"
        grow("bad", 500, 150)
        assert named(90) == 1
        (last, first) = service.alerts(conn, None, Fault.QUALITY, None, 10)
        assert (first.figures["looked"], last.figures["looked"]) == (500, 1000)


def test_what_is_no_report_of_the_stage_is_refused(engine: Engine) -> None:
    with engine.db.begin() as conn:
        model = registry.find_titled(conn, "small@1")
        by_as_list = {"error": 0.5, "by": [SURE]}
        for wrong in (
            {},
            {"task": "attributes", "points": []},
            {"task": "styles", "points": [{"images": 1}]},
            {"task": "styles", "points": [{"images": 1, **dict.fromkeys(service.SPLITS, by_as_list)}]},
            {"task": "styles", "points": [{"images": math.inf, "test": {"by": {}, "error": 0.5}}]},
        ):
            with pytest.raises(Unprocessable):
                service.keep_report(conn, model, wrong, engine.now)


def test_admins_see_and_settle_it_over_http_and_others_do_not(
    engine: Engine, client: Client, make_worker: MakeWorker, bearer: Bearer
) -> None:
    service.look(engine.rt, engine.now)
    _, token = make_worker(Grade.ADMIN)
    _, plain = make_worker(Grade.INSPECTOR)
    paths = ("/quality/doubts", "/quality/alerts", "/stats/quality", "/models/1/reports")
    for path in paths:
        assert client.get(f"/api/v1{path}", headers=bearer(plain)).status_code == 403
        assert client.get(f"/api/v1{path}", headers=bearer(token)).status_code == 200, path
    page = client.get("/api/v1/quality/doubts?stage=styles&limit=1", headers=bearer(token)).json
    (doubt,) = page["items"]
    address = f"/api/v1/quality/doubts/{doubt['id']}/settle"
    assert client.post(address, json={}, headers=bearer(token)).status_code == 422
    done = client.post(address, json={"send_back": True}, headers=bearer(token))
    assert (done.status_code, done.json["sent_back"], done.json["image_id"]) == (200, True, doubt["image_id"])
    assert client.post(address, json={"send_back": True}, headers=bearer(token)).status_code == 409
    (stage,) = client.get("/api/v1/stats/quality", headers=bearer(token)).json["items"]
    assert stage["stage"] == "styles"
    assert json.dumps(stage["doubts"])
    assert client.get("/api/v1/models/99/reports", headers=bearer(token)).status_code == 404
