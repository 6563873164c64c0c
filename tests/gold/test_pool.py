"""Of an image and stage one item is in the pool at a time, whoever adds another; the database decides."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa

from crowd.gold.models import GoldItem
from tests.gold.conftest import GoldCrew
from tests.kinds import Answer, client_of
from tests.scenarios.people import Person, good, refused, verdict


def ask(person: Person, image_id: int, *stages: str, **more: Any) -> Answer:
    return person.post("/gold", {"image_id": image_id, "stages": list(stages), "reason": "known", **more})


def pool(crew: GoldCrew) -> list[tuple[int, str, bool]]:
    return [
        (item["image_id"], item["stage"], item["active"])
        for item in crew.admin.read("/gold?limit=200")["items"]
    ]


def test_a_second_item_of_an_image_and_stage_is_refused_whole(crew: GoldCrew) -> None:
    (source,) = crew.sources(1)
    crew.gold([source], "first_review")
    for more in ({}, {"fault": "styles"}):
        refused(ask(crew.admin, source, "second_review", "first_review", **more), 409, "already_gold")
    assert pool(crew) == [(source, "first_review", True)], "nothing of what was refused was kept"
    assert ask(crew.admin, source, "second_review").status_code == 201


def test_an_item_taken_out_makes_room_and_does_not_come_back_beside_its_successor(crew: GoldCrew) -> None:
    (source,) = crew.sources(1)
    (first,) = crew.gold([source], "styles")
    good(crew.admin.post(f"/gold/{first['id']}/retire", {"reason": "the answer was wrong"}))
    answer = {"styles": ["street"], "unsure": False}
    (second,) = crew.gold([source], "styles", answer=answer)
    refused(crew.admin.post(f"/gold/{first['id']}/reactivate", {"reason": "no"}), 409, "already_gold")
    good(crew.admin.post(f"/gold/{second['id']}/reactivate", {"reason": "it is there"}))
    assert pool(crew) == [(source, "styles", False), (source, "styles", True)]
    good(crew.admin.post(f"/gold/{second['id']}/retire", {"reason": "worse"}))
    good(crew.admin.post(f"/gold/{first['id']}/reactivate", {"reason": "it was right"}))
    assert pool(crew) == [(source, "styles", True), (source, "styles", False)]


def test_what_is_gold_already_does_not_become_so_once_more_by_adjudication(crew: GoldCrew) -> None:
    image_id = crew.accepted_image()
    crew.gold([image_id], "styles")
    good(crew.admin.decide(image_id, "in_work", stage="second_review"))
    crew.left.do("second_review", verdict(2, "styles"))
    crew.right.do("second_review", verdict(5))
    crew.judge.do("adjudication", verdict(5))
    assert crew.state(image_id) == "accepted"
    assert sorted(stage for _, stage, active in pool(crew) if active) == [
        "attributes", "first_review", "second_review", "segmentation", "styles",
    ]  # fmt: skip
    assert [item["origin"] for item in crew.admin.read("/gold?stage=styles")["items"]] == ["admin"]


def test_two_admins_at_once_make_one_item(crew: GoldCrew) -> None:
    (source,) = crew.sources(1)
    start = Barrier(4)
    admins = [crew.admin, *(crew.hire("admin") for _ in range(3))]

    def one(admin: Person) -> int:
        mine = Person(client_of(crew.app), admin.id, admin.name, admin.token)
        start.wait(10)
        return ask(mine, source, "styles").status_code

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(one, admins)) == [201, 409, 409, 409]
    assert pool(crew) == [(source, "styles", True)]


def test_the_database_itself_refuses_a_second_item(crew: GoldCrew) -> None:
    (source,) = crew.sources(1)
    crew.gold([source], "styles")
    with crew.rt.db.read() as conn:
        row = conn.execute(sa.select(*GoldItem.__table__.c)).one()._asdict()
    with pytest.raises(sa.exc.IntegrityError), crew.rt.db.begin() as conn:
        conn.execute(sa.insert(GoldItem).values(**row | {"id": row["id"] + 1}))
