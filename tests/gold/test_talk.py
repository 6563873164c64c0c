"""What was said about an image does not tell work from seats whose answers are evidence only."""

import random

import pytest

from crowd.gold import dealing, service
from crowd.images import service as intake
from crowd.ml.serving import Shelf
from crowd.review import queries
from crowd.tasks import shadows
from tests.gold.conftest import GoldCrew
from tests.gold.test_same_surface import ON_SQLITE, WAITING, WHO, with_gold
from tests.scenarios.people import Json, Person


@pytest.fixture(autouse=True)
def always_due(crew: GoldCrew, monkeypatch: pytest.MonkeyPatch) -> None:
    luck = random.Random(11)
    monkeypatch.setattr(intake, "DICE", luck.random)
    monkeypatch.setattr(service, "DICE", luck)
    monkeypatch.setattr(dealing, "PATIENCE", -1)
    dealer = dealing.Dealer(crew.rt.policy, Shelf(), dice=lambda: 0.0)
    monkeypatch.setattr(shadows, "STAND_INS", [dealer.stand_in])


def commented(crew: GoldCrew, stage: str) -> int:
    """An image at `stage` whose labellers said something right after their answers."""
    image = crew.image()
    crew.bring("styles")
    spoke = {"segmentation": crew.drawer, "attributes": crew.tagger}
    with crew.rt.db.begin() as conn:
        for about, person in spoke.items():
            (task,) = queries.tasks_held(conn, image, person.id)
            queries.add_comment(conn, task.id, person.id, about, crew.clock.now())
    crew.clock.forward(seconds=30)
    crew.bring(stage, start="styles")
    return image


def heard(person: Person, task: Json) -> list[Json]:
    items: list[Json] = person.read(f"/images/{task['image']['id']}/comments")["items"]
    return items


@pytest.mark.parametrize("stage", ["first_review", "second_review"])
@ON_SQLITE
def test_a_reviewer_of_gold_hears_what_one_of_work_hears(
    crew: GoldCrew, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as quiet:
        quiet.setattr(shadows, "STAND_INS", [])
        known = []
        for _ in range(2):
            known.append(commented(crew, "second_review"))
            crew.step("second_review")
            # After the review: no reviewer of work would have heard it by then.
            late = {"stage": "segmentation", "text": "late"}
            assert crew.admin.post(f"/images/{known[-1]}/comments", late).status_code == 201
        for _ in range(WAITING):
            commented(crew, stage)
        crew.gold(known, stage)
    crew.clock.forward(days=30)
    lucky, gold = with_gold(crew, stage)
    monkeypatch.setattr(shadows, "STAND_INS", [])
    person = crew.hire(WHO[stage])
    work = person.claim(stage)
    about_gold, about_work = heard(lucky, gold), heard(person, work)
    assert [(each["stage"], each["text"], each["own"], each["who"]) for each in about_gold] == [
        ("segmentation", "segmentation", False, None),
        ("attributes", "attributes", False, None),
    ]
    without = [{key: value for key, value in each.items() if key != "at"} for each in about_gold]
    assert without == [{key: value for key, value in each.items() if key != "at"} for each in about_work]
    # Said a month ago of the known image; of this one it was said just before it was given.
    assert {each["at"][:10] for each in about_gold} == {crew.clock.now().date().isoformat()}
    for who, task in ((lucky, gold), (person, work)):
        for about in ("segmentation", "attributes", "styles", "second_review", "adjudication"):
            answer = who.post(
                f"/images/{task['image']['id']}/comments", {"stage": about, "text": f"re {about}"}
            )
            is_far = about == "adjudication" or (about == "second_review" and stage == "first_review")
            assert answer.status_code == (422 if is_far else 201), (task["id"], about)
    answered = [
        [(each["stage"], each["text"]) for each in heard(*each)] for each in ((lucky, gold), (person, work))
    ]
    assert answered[0] == answered[1]
    assert len(answered[0]) > 4
    # Nobody who worked on the known image hears of it.
    assert "re segmentation" not in crew.drawer.get(f"/images/{known[0]}/comments").text
    assert "re segmentation" not in crew.drawer.get(f"/images/{known[1]}/comments").text


@ON_SQLITE
def test_a_labeller_of_gold_hears_nothing_as_of_work(crew: GoldCrew, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as quiet:
        quiet.setattr(shadows, "STAND_INS", [])
        known = [commented(crew, "second_review")]
        crew.step("second_review")
        for _ in range(WAITING):
            commented(crew, "styles")
        crew.gold(known, "styles")
    lucky, gold = with_gold(crew, "styles")
    monkeypatch.setattr(shadows, "STAND_INS", [])
    person = crew.hire("expert")
    assert heard(lucky, gold) == heard(person, person.claim("styles")) == []
