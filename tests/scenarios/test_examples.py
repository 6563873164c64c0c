"""Example pictures: which images may be one, who sees them, and what ends one at once."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError

from crowd.examples import queries
from crowd.examples.models import ExampleEvent
from crowd.images.delivery_models import Contract
from crowd.images.files import files_of
from crowd.images.models import Image, Rights
from crowd.policy import Stage
from crowd.simulation.examples import OF_EACH, choose_examples
from crowd.tasks import shadow_queries
from crowd.tasks.models import Purpose
from crowd.tasks.taxonomies import shelf
from tests.kinds import Answer
from tests.pictures import jpeg
from tests.scenarios.people import ON_ONE_DATABASE, Crew, Json, Person, refused

CAPTIONS = {"caption_en": "Wide and light.", "caption_ko": "넓고 가볍습니다."}


class ExampleCrew(Crew):
    """A crew whose admin picks examples."""

    def choose(self, of: int, value: str = "resort", **more: Any) -> Answer:
        body = {"facet": "styles", "value": value, "image_id": of, "reason": "typical", **CAPTIONS}
        return self.admin.post("/examples", {**body, **more})

    def example(self, image_id: int | None = None) -> Json:
        answer = self.choose(image_id or self.accepted_image())
        assert answer.status_code == 201, answer.text
        chosen: Json = answer.json
        return chosen

    def files(self, image_id: int) -> None:
        """The picture of an image, as intake would have left it."""
        with self.rt.db.read() as conn:
            sha256 = conn.execute(sa.select(Image.sha256).where(Image.id == image_id)).scalar_one()
        for key in (files_of(sha256).working, files_of(sha256).thumbnail):
            self.rt.storage.put(key, jpeg(image_id))

    def seen_by(self, person: Person, query: str = "") -> list[int]:
        return [each["id"] for each in person.read(f"/examples{query}")["items"]]

    def sits_before(self, person: Person, image_id: int) -> None:
        """A seat for evidence: the picture of `image_id` under a number of its own."""
        now = self.clock.now()
        until = now + timedelta(minutes=30)
        taxonomy_id = shelf(self.rt).present_id()
        with self.rt.db.begin() as conn:
            shadow_queries.seat_beside(
                conn, Purpose.APPEAL, Stage.STYLES, image_id, {}, person.id, taxonomy_id, now, until
            )


@pytest.fixture
def crew(crew: Crew) -> ExampleCrew:
    return ExampleCrew(crew.rt, crew.app, crew.clock)


def test_everybody_who_works_sees_an_example_and_not_which_image_it_is(crew: ExampleCrew) -> None:
    image_id = crew.accepted_image()
    crew.files(image_id)
    chosen = crew.example(image_id)
    assert (chosen["image_id"], chosen["by"], chosen["hidden"]) == (image_id, "admin", None)
    trainee = crew.hire("trainee")
    (seen,) = trainee.read("/examples?stage=styles")["items"]
    assert "image_id" not in seen
    assert {name: seen[name] for name in CAPTIONS} == CAPTIONS
    for address in (seen["url"], seen["thumbnail"]):
        answer = trainee.get(address.removeprefix("/api/v1"))
        assert (answer.status_code, answer.data) == (200, jpeg(image_id))
        assert answer.headers["Cache-Control"] == "private, no-cache", "it may be no example any more"
    for closed in ("", "/file", "/thumbnail"):
        refused(trainee.get(f"/images/{image_id}{closed}"), 403)
    assert crew.seen_by(trainee, "?stage=attributes") == []


def test_a_suspended_person_and_a_supplier_see_none(crew: ExampleCrew) -> None:
    example = crew.example()
    suspended = crew.hire("general")
    assert crew.admin.post(f"/workers/{suspended.id}/suspend", {"reason": "no"}).status_code == 200
    supplier = crew.admin.post("/suppliers", {"name": "Shop"}).json["id"]
    token = crew.admin.post(f"/suppliers/{supplier}/accounts", {"username": "shop"}).json["token"]
    for person in (suspended, Person(suspended.client, 0, "shop", token)):
        refused(person.get("/examples"), 403)
        refused(person.get(f"/examples/{example['id']}/file"), 403)


def test_workers_choose_and_remove_none(crew: ExampleCrew) -> None:
    example = crew.example()
    refused(crew.stylist.post("/examples", {}), 403)
    refused(crew.stylist.post(f"/examples/{example['id']}/remove", {"reason": "no"}), 403)
    for path in ("/examples/chosen", f"/examples/{example['id']}"):
        refused(crew.stylist.get(path), 403)


@pytest.mark.parametrize("end", ["withdrawn", "refused", "in_work"])
def test_an_image_that_is_accepted_no_more_is_no_example_at_once(crew: ExampleCrew, end: str) -> None:
    image_id = crew.accepted_image()
    crew.files(image_id)
    example = crew.example(image_id)
    assert crew.seen_by(crew.stylist) == [example["id"]]
    assert crew.admin.decide(image_id, end).status_code == 200
    assert crew.seen_by(crew.stylist) == []
    for what in ("file", "thumbnail"):
        refused(crew.stylist.get(f"/examples/{example['id']}/{what}"), 404, "no_such_example")
    (kept,) = crew.admin.read("/examples/chosen")["items"]
    assert kept["hidden"] == "not_accepted"


def test_labels_that_were_made_anew_are_not_shown_under_the_old_value(crew: ExampleCrew) -> None:
    image_id = crew.accepted_image()
    example = crew.example(image_id)
    crew.admin.decide(image_id, "in_work", stage="second_review")
    crew.step("second_review")
    assert crew.state(image_id) == "accepted"
    assert crew.seen_by(crew.stylist) == [], "in another round it was not chosen"
    crew.admin.post(f"/examples/{example['id']}/remove", {"reason": "look again"})
    again = crew.example(image_id)
    assert crew.seen_by(crew.stylist) == [again["id"]]


def test_gold_is_no_example_and_an_example_that_becomes_gold_is_hidden(crew: ExampleCrew) -> None:
    first, second = crew.accepted_image(), crew.accepted_image()
    example = crew.example(first)
    gold = {"stages": ["styles"], "reason": "known"}
    for image_id in (first, second):
        assert crew.admin.post("/gold", {**gold, "image_id": image_id}).status_code == 201
    assert crew.seen_by(crew.stylist) == []
    assert crew.admin.read(f"/examples/{example['id']}")["hidden"] == "gold"
    refused(crew.choose(second), 409, "gold")


def test_nobody_sees_an_example_of_the_picture_before_them(crew: ExampleCrew) -> None:
    image_id, other = crew.accepted_image(), crew.accepted_image()
    crew.files(image_id)
    example, second = crew.example(image_id), crew.example(other)
    sitting, free = crew.hire("expert"), crew.hire("expert")
    crew.sits_before(sitting, image_id)
    assert crew.seen_by(sitting) == [second["id"]]
    assert crew.seen_by(free) == [example["id"], second["id"]]
    refused(sitting.get(f"/examples/{example['id']}/thumbnail"), 404)
    assert free.get(f"/examples/{example['id']}/thumbnail").status_code == 200


def test_rights_that_end_end_the_example(crew: ExampleCrew) -> None:
    image_id = crew.accepted_image()
    now = crew.clock.now()
    terms = {"kind": Rights.LICENSED, "title": "2026", "allows": ["labelling", "release"], "created_at": now}
    with crew.rt.db.begin() as conn:
        supplier = conn.execute(sa.select(Image.supplier_id).where(Image.id == image_id)).scalar_one()
        last = now.date() + timedelta(days=2)
        added = (
            sa.insert(Contract).values(supplier_id=supplier, valid_to=last, **terms).returning(Contract.id)
        )
        contract = conn.execute(added).scalar_one()
        conn.execute(sa.update(Image).where(Image.id == image_id).values(contract_id=contract))
    crew.example(image_id)
    assert len(crew.seen_by(crew.stylist)) == 1
    crew.clock.forward(days=3)
    assert crew.seen_by(crew.stylist) == []
    (kept,) = crew.admin.read("/examples/chosen")["items"]
    assert kept["hidden"] == "rights_ended"
    refused(crew.choose(image_id, caption_en="again"), 409, "rights_expired")


def test_there_are_only_so_many_of_a_value_and_each_image_once(crew: ExampleCrew) -> None:
    most = crew.rt.policy.examples.of_a_value
    images = [crew.accepted_image() for _ in range(most + 1)]
    examples = [crew.example(image_id) for image_id in images[:most]]
    refused(crew.choose(images[most]), 409, "full")
    gone = examples[1]["id"]
    answer = crew.admin.post(f"/examples/{gone}/remove", {"reason": "a better one"})
    assert (answer.status_code, answer.json["hidden"]) == (200, "removed")
    assert crew.choose(images[most]).status_code == 201
    refused(crew.choose(images[0]), 409, "chosen")
    shown = crew.admin.read("/examples/chosen?facet=styles&value=resort")["items"]
    assert [each["image_id"] for each in shown] == [images[0], *images[2:]]


def test_who_chose_and_who_took_away_stays(crew: ExampleCrew) -> None:
    example = crew.example()
    for _ in range(2):
        crew.admin.post(f"/examples/{example['id']}/remove", {"reason": "blurred"})
    events = crew.admin.read(f"/examples/{example['id']}")["events"]
    assert [(each["step"], each["by"], each["reason"]) for each in events] == [
        ("added", "admin", "typical"),
        ("removed", "admin", "blurred"),
    ]
    for change in (sa.delete(ExampleEvent), sa.update(ExampleEvent).values(reason="other")):
        with (
            pytest.raises(DatabaseError, match=r"append-only|never changed|refuse"),
            crew.rt.db.begin() as conn,
        ):
            conn.execute(change)


def test_an_attributes_value_has_examples_too(crew: ExampleCrew) -> None:
    image_id = crew.accepted_image()
    assert crew.choose(image_id, "black", facet="color").status_code == 201
    assert len(crew.seen_by(crew.tagger, "?stage=attributes")) == 1
    assert crew.seen_by(crew.tagger, "?stage=styles") == []


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"value": "polka"}, "value"),
        ({"value": "street"}, "value"),
        ({"facet": "smell"}, "facet"),
        ({"facet": "color", "value": "resort"}, "value"),
        ({"facet": "color", "value": "white"}, "value"),
        ({"caption_ko": "  "}, "caption_ko"),
        ({"caption_en": ""}, "caption_en"),
        ({"caption_en": "x" * 301}, "caption_en"),
        ({"reason": ""}, "reason"),
        ({"image_id": "1"}, "image_id"),
    ],
)
@ON_ONE_DATABASE
def test_what_is_wrong_is_named(crew: ExampleCrew, more: Json, path: str) -> None:
    answer = crew.choose(crew.accepted_image(), **more)
    assert list(refused(answer, 422)["errors"]) == [path]


def test_only_what_is_accepted_and_there_is_chosen(crew: ExampleCrew) -> None:
    image_id = crew.image_at("second_review")
    refused(crew.choose(image_id), 409, "not_accepted")
    refused(crew.choose(99_999), 404)
    refused(crew.admin.post("/examples/99999/remove", {"reason": "no"}), 404)


def test_of_two_who_choose_at_once_the_second_is_told(
    crew: ExampleCrew, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both saw the same place free; the index lets one of them have it."""
    images = [crew.accepted_image() for _ in range(2)]
    crew.example(images[0])
    monkeypatch.setattr(queries, "places_of", lambda *_: {})
    refused(crew.choose(images[1]), 409, "changed")


def test_the_list_goes_on_from_page_to_page(crew: ExampleCrew) -> None:
    examples = [crew.example()["id"] for _ in range(3)]
    first = crew.stylist.read("/examples?limit=2")
    rest = crew.stylist.read(f"/examples?limit=2&cursor={first['next_cursor']}")
    assert [each["id"] for each in first["items"] + rest["items"]] == examples
    assert rest["next_cursor"] is None


def test_a_demo_chooses_a_few_of_each_style_once_and_passes_over_gold(crew: ExampleCrew) -> None:
    images = [crew.accepted_image() for _ in range(OF_EACH + 2)]
    assert (
        crew.admin.post("/gold", {"stages": ["styles"], "reason": "known", "image_id": images[0]}).status_code
        == 201
    )
    chosen = []
    for _ in range(2):
        with crew.rt.db.begin() as conn:
            chosen.append(choose_examples(conn, crew.rt, crew.admin.id, crew.clock.now()))
    assert chosen == [OF_EACH, 0]
    shown = crew.admin.read("/examples/chosen")["items"]
    assert [each["image_id"] for each in shown] == images[1 : OF_EACH + 1]
