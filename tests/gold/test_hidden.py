"""Hidden gold over the API: served like work, answered like work, and evidence only."""

import pytest
import sqlalchemy as sa

from crowd.gold.models import GoldSeat
from crowd.images.models import Image, ImageState
from crowd.tasks import counts
from tests.gold.conftest import GoldCrew
from tests.scenarios.people import (
    Json,
    Person,
    good,
    good_result,
    refused,
    regions,
    styles,
    token_of,
    verdict,
)

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_gold_is_compared_with_what_is_known_at_once(crew: GoldCrew) -> None:
    crew.gold(crew.sources(2), "styles")
    for _ in range(12):
        crew.image_at("styles")
    expert = crew.hire("expert", "newcomer")
    task = crew.until_gold(expert, "styles")
    assert task["labels"]["attributes"] is not None
    assert task["labels"]["styles"] is None
    good(expert.submit(task, styles("resort")))
    second = crew.until_gold(expert, "styles")
    good(expert.submit(second, styles("street")))
    good(expert.submit(second, {"unusable": "watermark"}))
    fared = {item["image_id"]: item for item in crew.admin.read("/gold")["items"]}
    assert sorted(item["mean"] for item in fared.values()) == [0.0, 1.0]
    assert sorted((item["passed"], item["failed"]) for item in fared.values()) == [(0, 1), (1, 0)]
    kept = crew.rows(
        "SELECT value FROM evidence WHERE worker_id = :who AND kind = 0 ORDER BY id", who=expert.id
    )
    assert [value for (value,) in kept] == [1.0, 0.0]


def test_gold_moves_nothing_and_counts_nowhere(crew: GoldCrew) -> None:
    (source,) = crew.sources(1)
    crew.gold([source], "segmentation")
    for _ in range(8):
        crew.image()
    drawer = crew.hire("general")
    task = crew.until_gold(drawer, "segmentation")
    before = crew.admin.read("/stats/progress")
    held = before["stages"]["segmentation"]
    good(drawer.submit(task, regions("top")))
    assert crew.admin.read("/stats/progress") == before, "neither the lease nor the answer was work"
    assert held["leased"] == 0
    assert crew.shown(source)["state"] == "accepted"
    assert not [stage for stage, _ in crew.open_stages(task["image"]["id"])]
    listed = {row["id"] for row in crew.admin.read("/images?limit=200")["items"]}
    assert task["image"]["id"] not in listed
    with crew.rt.db.read() as conn:
        assert counts.differences(conn) == []
    refused(crew.admin.decide(task["image"]["id"], "in_work"), 404)


def test_nobody_meets_a_picture_twice_nor_one_they_worked_on(crew: GoldCrew) -> None:
    sources = crew.sources(2)
    crew.gold(sources, "segmentation", "attributes")
    for _ in range(25):
        crew.image()
    newcomer = crew.hire("general")
    drew_one = crew.drawer
    for person in (newcomer, drew_one):
        for _ in range(12):
            person.do("segmentation")
    met = dict.fromkeys((newcomer.id, drew_one.id), 0)
    for worker_id, image_id in crew.rows("SELECT worker_id, image_id FROM gold_seats"):
        met[worker_id] += 1
        assert image_id in sources
    assert met == {newcomer.id: 2, drew_one.id: 0}


def test_a_gold_task_let_go_comes_back_to_its_holder_like_any_other(crew: GoldCrew) -> None:
    crew.gold(crew.sources(1), "segmentation")
    for _ in range(8):
        crew.image()
    drawer = crew.hire("general")
    task = crew.until_gold(drawer, "segmentation")
    assert drawer.release(task).status_code == 204
    assert drawer.release(task).status_code == 204
    refused(drawer.submit(task, regions()), 409, "lease_lost")
    again = drawer.claim("segmentation")
    assert again["id"] == task["id"]
    assert token_of(again) == token_of(task) + 2
    assert {**again, "lease": None} == {**task, "lease": None}
    assert drawer.release(again, skip=True).status_code == 204
    assert drawer.claim("segmentation")["id"] != task["id"]
    crew.clock.forward(minutes=11)
    assert drawer.claim("segmentation")["id"] == task["id"]


def test_a_gold_lease_that_ran_out_still_takes_its_answer_until_somebody_else_claims(crew: GoldCrew) -> None:
    crew.gold(crew.sources(2), "segmentation")
    for _ in range(20):
        crew.image()
    drawer, other = crew.hire("general"), crew.drawer
    first = crew.until_gold(drawer, "segmentation")
    crew.clock.forward(hours=1)
    crew.tidy()
    good(drawer.heartbeat(first))
    crew.clock.forward(hours=1)
    crew.tidy()
    good(drawer.submit(first, regions()))
    second = crew.until_gold(drawer, "segmentation")
    crew.clock.forward(hours=1)
    crew.tidy()
    other.claim("segmentation")
    refused(drawer.submit(second, regions()), 409, "lease_lost")
    refused(drawer.heartbeat(second), 409, "lease_lost")
    assert drawer.claim("segmentation")["id"] != second["id"]


def test_who_is_suspended_loses_gold_like_work(crew: GoldCrew) -> None:
    crew.gold(crew.sources(1), "segmentation")
    for _ in range(8):
        crew.image()
    drawer = crew.hire("general")
    task = crew.until_gold(drawer, "segmentation")
    assert drawer.read("/me")["leases"][0]["task_id"] == task["id"]
    good(crew.admin.post(f"/workers/{drawer.id}/suspend", {"reason": "to see"}))
    refused(drawer.submit(task, regions()), 403)
    good(crew.admin.post(f"/workers/{drawer.id}/reinstate", {"reason": "seen"}))
    refused(drawer.submit(task, regions()), 409, "lease_lost")


def test_a_gold_image_goes_on_in_its_holder_s_eyes_as_its_picture_did(crew: GoldCrew) -> None:
    source = crew.image()
    crew.drawer.do("segmentation")
    crew.clock.forward(hours=2)
    crew.bring("second_review", start="attributes")
    crew.clock.forward(hours=3)
    crew.step("second_review")
    crew.gold([source], "segmentation")
    for _ in range(8):
        crew.image()
    drawer = crew.hire("general")
    task = crew.until_gold(drawer, "segmentation")
    image_id = task["image"]["id"]
    fresh = drawer.image(image_id)
    assert (fresh["state"], fresh["history"], fresh["labels"]["segmentation"]) == ("in_work", [], None)
    good(drawer.submit(task, regions("top")))
    assert [event["what"] for event in drawer.image(image_id)["history"]] == ["submitted"]
    assert drawer.image(image_id)["labels"]["attributes"] is None
    crew.clock.forward(hours=2, seconds=1)
    after_two = drawer.image(image_id)
    assert set(after_two["labels"]["attributes"]["regions"]) == {"r1"}
    assert after_two["state"] == "in_work"
    crew.clock.forward(hours=3)
    assert drawer.image(image_id)["state"] == "accepted"


def test_a_picture_that_was_withdrawn_is_shown_to_nobody_who_has_it_as_gold(crew: GoldCrew) -> None:
    (source,) = crew.sources(1)
    crew.gold([source], "attributes")
    for _ in range(8):
        crew.image_at("attributes")
    tagger = crew.hire("general")
    held = crew.until_gold(tagger, "attributes")
    path = f"/images/{held['image']['id']}/file"
    # The crew's images are rows alone.
    refused(tagger.get(path), 404, "file_missing")
    good(crew.admin.decide(source, "withdrawn", reason="the model asked for it"))
    refused(tagger.get(path), 403, "rights_ended")


def test_a_number_put_aside_is_told_from_no_image_of_somebody_else(crew: GoldCrew) -> None:
    for _ in range(10):
        crew.image()
    with crew.rt.db.read() as conn:
        (spare,) = conn.execute(sa.select(Image.id).where(Image.state == ImageState.SPARE).limit(1)).one()
        (real,) = conn.execute(sa.select(Image.id).where(Image.state == ImageState.IN_WORK).limit(1)).one()
    curious = crew.hire("general")
    for path in ("/images/{}", "/images/{}/file", "/images/{}/thumbnail"):
        answers = [curious.get(path.format(each)) for each in (spare, real)]
        told = [(each.status_code, each.json["code"]) for each in answers]
        assert told == [(403, "not_your_image")] * 2
    tasks = crew.rows("SELECT purpose, min(id) FROM tasks GROUP BY purpose ORDER BY purpose")
    assert [purpose for purpose, _ in tasks] == [0, 1]
    for call, body in (("heartbeat", {"token": 1}), ("release", {"token": 1}), ("comments", {"text": "?"})):
        answers = [curious.post(f"/tasks/{task}/{call}", body) for _, task in tasks]
        assert {(each.status_code, each.json["code"]) for each in answers} == {(403, answers[0].json["code"])}


def test_sending_gold_back_looks_like_any_send_back(crew: GoldCrew) -> None:
    crew.gold(crew.sources(1), "attributes")
    for _ in range(8):
        crew.image_at("attributes")
    tagger = crew.hire("general")
    task = crew.until_gold(tagger, "attributes")
    work = tagger.claim("attributes")
    shown = []
    for each in (task, work):
        good(tagger.send_back(each))
        image = tagger.image(each["image"]["id"])
        shown.append(
            (image["round"], image["state"], [(event["what"], event["round"]) for event in image["history"]])
        )
    assert shown[0] == shown[1]
    (item,) = crew.admin.read("/gold")["items"]
    assert (item["answered"], item["mean"]) == (1, 0.0)


def test_only_admins_learn_of_gold(crew: GoldCrew) -> None:
    (item,) = crew.gold(crew.sources(1), "styles")
    person = crew.hire("inspector")
    for path in ("/gold", f"/gold/{item['id']}"):
        refused(person.get(path), 403)
    for path in ("/gold", f"/gold/{item['id']}/retire", f"/gold/{item['id']}/reactivate"):
        refused(person.post(path, {"reason": "no"}), 403)


def test_an_adjudicated_image_becomes_gold_by_itself(crew: GoldCrew) -> None:
    image_id = crew.split_image()
    assert crew.admin.read("/gold")["items"] == []
    crew.judge.do("adjudication", verdict(5))
    items = crew.admin.read("/gold")["items"]
    assert {item["stage"] for item in items} == {
        "segmentation",
        "attributes",
        "styles",
        "first_review",
        "second_review",
    }
    assert {(item["image_id"], item["active"]) for item in items} == {(image_id, True)}
    for item in items:
        is_bad = "passes" in item["answer"] and not item["answer"]["passes"]
        assert item["origin"] == ("planted" if is_bad else "adjudicated")


@ON_SQLITE
def test_the_pool_is_kept_in_order_by_admins(crew: GoldCrew) -> None:
    (source,) = crew.sources(1)
    (item,) = crew.gold([source], "styles")
    retired = good(crew.admin.post(f"/gold/{item['id']}/retire", {"reason": "too easy"}))
    assert retired["active"] is False
    for _ in range(6):
        crew.image_at("styles")
    expert = crew.hire("expert")
    for _ in range(5):
        expert.do("styles")
    assert crew.seats(expert) == set()
    good(crew.admin.post(f"/gold/{item['id']}/reactivate", {"reason": "it was not"}))
    whole = crew.admin.read(f"/gold/{item['id']}")
    assert [(event["step"], event["by"]) for event in whole["events"]] == [
        ("added", "admin"),
        ("retired", "admin"),
        ("reactivated", "admin"),
    ]


WRONG: list[tuple[Json, int, str]] = [
    ({"stages": ["adjudication"]}, 422, "stages.0"),
    ({"stages": []}, 422, "stages"),
    ({"stages": ["styles"], "answer": {"styles": ["nonsense"]}}, 422, "answer.styles.0"),
    ({"stages": ["styles"], "fault": "styles"}, 422, "fault"),
    ({"stages": ["first_review"], "fault": "segmentation"}, 422, "fault"),
    ({"stages": ["first_review"], "answer": {"passes": 3}}, 422, "answer"),
    ({"stages": ["first_review"], "answer": {"passes": True, "blame": "styles"}}, 422, "answer.blame"),
    ({"stages": ["styles"], "labels": {"styles": {"styles": ["resort"]}}}, 422, "labels.styles"),
    ({"stages": ["styles"], "reason": ""}, 422, "reason"),
]


@ON_SQLITE
def test_what_cannot_be_gold_is_refused_by_field(crew: GoldCrew) -> None:
    (source,) = crew.sources(1)
    for body, status, path in WRONG:
        answer = crew.admin.post("/gold", {"image_id": source, "reason": "known", **body})
        assert path in refused(answer, status)["errors"], (body, answer.json)
    in_work = crew.image()
    refused(
        crew.admin.post("/gold", {"image_id": in_work, "stages": ["styles"], "reason": "x"}),
        409,
        "not_accepted",
    )
    refused(crew.admin.post("/gold", {"image_id": 10**9, "stages": ["styles"], "reason": "x"}), 404)


def test_planted_faults_are_found_by_who_looks(crew: GoldCrew) -> None:
    crew.gold(crew.sources(3), "first_review", fault="styles")
    for _ in range(20):
        crew.image_at("first_review")
    reviewer = crew.hire("reviewer")
    for result in (verdict(2, "styles"), verdict(2, "attributes"), verdict(5)):
        task = crew.until_gold(reviewer, "first_review")
        assert task["labels"]["styles"]["styles"] != ["resort"]
        good(reviewer.submit(task, result))
    assert sorted(item["mean"] for item in crew.admin.read("/gold")["items"]) == [0.0, 0.5, 1.0]


def seats_of(crew: GoldCrew, person: Person) -> int:
    with crew.rt.db.read() as conn:
        found = sa.select(sa.func.count()).where(GoldSeat.worker_id == person.id)
        return conn.execute(found.select_from(GoldSeat)).scalar_one()


@ON_SQLITE
@pytest.mark.parametrize("gold_percent", [0])
def test_without_a_share_nothing_is_put_aside_and_nothing_hidden(crew: GoldCrew) -> None:
    crew.gold(crew.sources(1), "segmentation")
    for _ in range(6):
        crew.image()
    drawer = crew.hire("general")
    for _ in range(6):
        good(drawer.submit(task := drawer.claim("segmentation"), good_result(task)))
    assert seats_of(crew, drawer) == 0
    assert crew.rows("SELECT count(*) FROM tasks WHERE purpose > 0") == [(0,)]
