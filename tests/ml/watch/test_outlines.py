"""Outlines beside what a model found before anybody drew: doubted by overlap, sent back to be drawn again."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.core import clock
from crowd.images.models import Image, ImageState, Rights, Supplier
from crowd.ml.pending import Wanted
from crowd.ml.watch import doubts, service
from crowd.ml.watch.arrivals import Delivery
from crowd.ml.watch.drift import Drift
from crowd.ml.watch.outlines import MISSING, OUTLINE, PART, judged_outlines
from crowd.ml.watch.plots import draw_watch, drift_by_week
from crowd.policy import Grade, Stage
from crowd.runtime import Runtime
from crowd.tasks import seat_queries
from crowd.tasks.models import Label, Task, TaskState
from tests.ml.shelf import add_card, make, promote, segmentation_card, with_policy
from tests.tasks.engine import Engine, later


def region(name: str, part: str, left: float, width: float = 40.0, **more: Any) -> dict[str, Any]:
    """A rectangle 100 px high."""
    right = left + width
    ring = [[left, 10.0], [right, 10.0], [right, 110.0], [left, 110.0]]
    return {"id": name, "part": part, "rings": [ring], "box": [left, 10.0, width, 100.0], **more}


def told(drawn: list[Any], found: list[Any], least: float = 0.5) -> dict[tuple[str, str], tuple[str, float]]:
    return {
        (each.region, each.question): (each.doubt.proposed, round(each.doubt.margin, 3))
        for each in judged_outlines(drawn, found, least)
        if each.doubt is not None
    }


def test_an_outline_is_doubted_below_the_overlap_and_not_at_it() -> None:
    drawn = [region("a", "top", 0.0)]
    # 20 of 40 px in common with a find of 40: an IoU of a third.
    found = [region("r1", "top", 20.0, score=0.9)]
    assert told(drawn, found, 0.34) == {("a", OUTLINE): ("top", 0.667)}
    assert told(drawn, found, 0.33) == {}


def test_the_right_outline_of_another_part_and_a_sure_find_that_nobody_drew_are_doubted() -> None:
    drawn = [region("a", "top", 0.0)]
    found = [region("r1", "outer", 1.0, score=0.8), region("r2", "bottom", 200.0, score=0.75)]
    assert told(drawn, found) == {("a", PART): ("outer", 0.8), ("r2", MISSING): ("bottom", 0.75)}
    assert told(drawn, [found[0], {**found[1], "score": 0.6}]) == {("a", PART): ("outer", 0.8)}


def test_what_was_drawn_where_nothing_was_found_is_doubted_but_not_if_nothing_was_found_at_all() -> None:
    drawn = [region("a", "top", 0.0), region("b", "bottom", 200.0)]
    assert told(drawn, [region("r1", "top", 0.0, score=0.9)]) == {("b", OUTLINE): ("", 1.0)}
    assert told(drawn, []) == {}


COUNT = 60
WRONG_EVERY = 10


@pytest.fixture
def engine(rt: Runtime, tmp_path: Path) -> Engine:
    """So many outlined images; every tenth outline lies beside the garment that a model had found."""
    system = with_policy(rt, withheld_percent=0)
    long_ago = clock.now() - timedelta(hours=1)
    shared = {"rights": Rights.OWNED, "state": ImageState.IN_WORK, "width": 400, "height": 200}
    with system.db.begin() as conn:
        supplier = {"name": "a shop", "created_at": long_ago}
        shop = conn.execute(sa.insert(Supplier).values(supplier).returning(Supplier.id)).scalar_one()
        for number in range(COUNT):
            own = {"supplier_id": shop, "file_name": "photo.jpg", "sha256": number.to_bytes(32)}
            row = conn.execute(
                sa.insert(Image)
                .values({**shared, **own, "created_at": long_ago})
                .returning(Image.id, Image.priority, Image.round)
            ).one()
            seat_queries.open_task(conn, row, Stage.SEGMENTATION, 1, long_ago)
    engine = Engine(system)
    model_id = add_card(system, tmp_path, segmentation_card())
    promote(system, model_id)
    make(engine, model_id, Stage.SEGMENTATION, finds)
    author = engine.hire(Grade.GENERAL)
    engine.hire(Grade.ADMIN)
    with engine.db.begin() as conn:
        for image_id in conn.execute(sa.select(Image.id).order_by(Image.id)).scalars().all():
            left = 120.0 if image_id % WRONG_EVERY == 0 else 52.0
            kept: dict[str, object] = {"image_id": image_id, "round": 1, "at": engine.now}
            kept |= {"worker_id": author, "taxonomy_id": engine.taxonomy_id, "stage": Stage.SEGMENTATION}
            conn.execute(sa.insert(Label).values(value={"regions": [region("a", "dress", left)]}, **kept))
    later(engine, 600)
    return engine


def finds(_wanted: Wanted) -> Any:
    return {"regions": [region("r1", "dress", 50.0, score=0.9)]}


def test_exactly_the_outlines_that_lie_elsewhere_are_doubted_and_go_back_to_be_drawn(engine: Engine) -> None:
    looked = service.look(engine.rt, engine.now)
    with engine.db.read() as conn:
        listed = doubts.doubted(conn, Stage.SEGMENTATION, OUTLINE, 0.0, None, 1000)
        model_id = listed[0].model_id
        shares = {(each["kind"], each["subject"]): each for each in service.doubt_shares(conn, model_id)}
    wrong = set(range(WRONG_EVERY, COUNT + 1, WRONG_EVERY))
    assert {row.image_id for row in listed} == wrong
    # Beside each of these the find has no region, too.
    assert looked.doubted == 2 * len(wrong)
    assert shares["value", "outline: dress"]["looked"] == COUNT
    assert shares["value", "outline: dress"]["doubted"] == len(wrong)
    admin = engine.crew[Grade.ADMIN][0]
    with engine.db.begin() as conn:
        doubts.settle(conn, admin, listed[0].id, sent_back=True, why="", policy=engine.policy, now=engine.now)
        # The task that the model looked at was never answered here: that image's only ready one is new.
        ready = conn.execute(
            sa.select(Task.stage).where(Task.image_id == listed[0].image_id, Task.state == TaskState.READY)
        ).scalars()
        assert list(ready) == [Stage.SEGMENTATION]


def test_how_far_outlines_may_lie_apart_is_the_policys(engine: Engine) -> None:
    strict = with_policy(engine.rt, doubted_overlap_percent=95)
    service.look(strict, engine.now)
    with engine.db.read() as conn:
        assert len(doubts.doubted(conn, None, OUTLINE, 0.0, None, 1000)) == COUNT


def test_the_watch_is_drawn_from_reports_and_deliveries_and_not_from_nothing() -> None:
    point = {"error": 0.3, "top3": 0.9, "by": {}}
    points = [{"images": count, "train": point, "validation": point, "test": point} for count in (10, 20)]
    drifts = {
        Delivery(1, "a shop", 202601): Drift(0.1, 0.2, 40, "x"),
        Delivery(2, "another", 202601): Drift(0.4, 0.2, 40, "x"),
        Delivery(1, "a shop", 202552): Drift(0.2, 0.2, 40, "x"),
    }
    assert drift_by_week(drifts) == {202552: 0.2, 202601: 0.4}
    assert draw_watch(None, {}) is None
    both, one = draw_watch({"points": points, "headline": "mAP"}, drifts), draw_watch(None, drifts)
    assert both is not None
    assert one is not None
    assert width(both) == 3 * width(one)


def width(png: bytes) -> int:
    return int.from_bytes(png[16:20])
